import { AsyncResource } from 'node:async_hooks'
import type { Socket } from 'node:net'
import { debuglog } from 'node:util'
import type { SharedMemoryHandle, Storage } from '@troupe/native'
import { FrameReader, frameMessage } from './frames.js'
import { allocatePipe, openPipe, SharedPipe } from './shared-pipe.js'
import { batchesOf, type Packet } from './wire.js'

const debug = debuglog('troupe')

/** Bytes that a greeting may have. */
const MOST_GREETING_BYTES = 1024
/** Packets that leave before the turn of the event loop has ended: who is awake begins on the first of many meanwhile. */
const MOST_AT_ONCE = 16
/** What wakes the other end; what the byte is does not matter. */
const DOORBELL = Buffer.from([1])
const SHARED = Buffer.from('shared')

/** What a stream tells its user. */
export interface LocalStreamEvents {
  /** The other end has said who it is; throws what is wrong with that. */
  greeted(greeting: Uint8Array): void
  /** From now on packets can be posted. */
  opened(): void
  received(frames: Uint8Array[]): void
  /** What came in is not what a process of this version sends. */
  failed(error: unknown): void
}

/**
 * One end of a connection within a host. It begins with a greeting in each direction. Two processes that can map each
 * other's memory then talk through a pipe in it, and the socket only wakes the one that sleeps and tells when the other has
 * ended; others talk through the socket.
 */
export class LocalStream {
  readonly #reader = new FrameReader((frames) => this.#take(frames))
  /** What comes in through a pipe is handled in the context that the socket's events would be. */
  readonly #context = new AsyncResource('TROUPE')
  #waiting: Packet[] = []
  #isScheduled = false
  #offered: Storage | undefined
  #pipe: SharedPipe | undefined
  #isOpen = false
  #isClosed = false

  /** @param answer what to answer the greeting of who connected with; undefined for the end that connects */
  constructor(
    private readonly socket: Socket,
    private readonly events: LocalStreamEvents,
    private readonly answer?: string,
  ) {
    this.#reader.limit = MOST_GREETING_BYTES
    socket.on('data', (piece: Buffer) => (this.#pipe ? this.#pipe.woken() : this.#read(piece)))
  }

  /** Greets the other end, and offers it memory to talk through. */
  greet(greeting: string): void {
    this.#offered = this.#allocate()
    const attachments = this.#offered ? [Buffer.from(JSON.stringify(this.#offered.handle))] : []
    writeTo(this.socket, frameMessage([{ bytes: Buffer.from(greeting), attachments }]))
  }

  /** A process that has too many files open, or too little memory, goes without. */
  #allocate(): Storage | undefined {
    try {
      return allocatePipe()
    } catch (error) {
      debug('a connection within the host goes without shared memory: %s', error)
      return undefined
    }
  }

  /** Sends a packet, at the end of this turn of the event loop at the latest; only after the greetings. */
  post(packet: Packet): void {
    if (this.#waiting.push(packet) >= MOST_AT_ONCE) this.flush()
    if (this.#isScheduled) return
    this.#isScheduled = true
    // After the microtasks of this turn: the answers to a batch of requests leave together.
    process.nextTick(() => {
      this.#isScheduled = false
      this.flush()
    })
  }

  flush(): void {
    if (this.#waiting.length === 0 || this.socket.destroyed) return
    const batches = batchesOf(this.#waiting)
    this.#waiting = []
    for (const batch of batches) {
      const message = frameMessage(batch)
      if (this.#pipe) this.#pipe.write(message)
      else writeTo(this.socket, message)
    }
  }

  /** Whether all that was posted is in memory that the other end has mapped, or in the kernel's hands. */
  get hasLeft(): boolean {
    return (
      this.#isOpen && this.#waiting.length === 0 && this.#pipe?.hasLeft !== false && this.socket.writableLength === 0
    )
  }

  /** Sends what was posted, and receives nothing more. */
  close(): void {
    this.flush()
    this.#isClosed = true
    this.#pipe?.close()
    this.socket.destroySoon()
  }

  /** Takes what had come in before the other end went. */
  drain(): void {
    if (!this.#isClosed) this.#pipe?.drain()
  }

  #read(piece: Buffer): void {
    try {
      this.#reader.push(piece)
    } catch (error) {
      this.events.failed(error)
    }
  }

  #take(frames: Uint8Array[]): void {
    if (this.#isOpen) {
      this.events.received(frames)
      return
    }
    const [greeting, extra] = frames
    this.events.greeted(greeting!)
    this.#isOpen = true
    this.#reader.limit = Number.POSITIVE_INFINITY
    if (this.answer === undefined) {
      if (extra && this.#offered) this.#talkThrough(this.#offered, true)
      this.#offered = undefined
    } else {
      const memory = extra && this.#accept(extra)
      const answer = { bytes: Buffer.from(this.answer), attachments: memory ? [SHARED] : [] }
      writeTo(this.socket, frameMessage([answer]))
      if (memory) this.#talkThrough(memory, false)
    }
    this.events.opened()
  }

  #talkThrough(memory: Storage, isFirst: boolean): void {
    // The rest of what the socket has brought can only be a wake-up.
    this.#reader.skip()
    const wake = () => this.socket.destroyed || this.socket.write(DOORBELL)
    const take = (piece: Buffer) => this.#context.runInAsyncScope(this.#read, this, piece)
    this.#pipe = new SharedPipe(memory, isFirst, take, wake)
  }

  /** Maps the memory that the other end offers, if that is possible. */
  #accept(handle: Uint8Array): Storage | undefined {
    try {
      return openPipe(JSON.parse(Buffer.from(handle).toString()) as SharedMemoryHandle)
    } catch (error) {
      debug('a connection within the host goes without shared memory: %s', error)
      return undefined
    }
  }
}

function writeTo(socket: Socket, buffers: Uint8Array[]): void {
  if (socket.destroyed) return
  // Copying small frames together costs less than handing each to the kernel.
  if (buffers.every((buffer) => buffer.length < 4096)) {
    socket.write(Buffer.concat(buffers))
    return
  }
  socket.cork()
  for (const buffer of buffers) socket.write(buffer)
  socket.uncork()
}
