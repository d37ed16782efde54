import { AsyncResource } from 'node:async_hooks'
import type { Socket } from 'node:net'
import { debuglog } from 'node:util'
import type { SharedMemoryHandle, Storage } from '@troupe/native'
import type { LinkEvents } from './link.js'
import { allocatePipe, openPipe, SharedPipe } from './shared-pipe.js'
import { batchesOf, join, type Packet } from './wire.js'

const debug = debuglog('troupe')

/** Bytes that a greeting may have. */
const MOST_GREETING_BYTES = 1024
/**
 * Packets that leave before the turn of the event loop has ended: a receiver that is awake begins on the first of many
 * meanwhile.
 */
const MOST_AT_ONCE = 16
/** Wakes the other end; the value of the byte does not matter. */
const DOORBELL = Buffer.from([1])
const SHARED = Buffer.from('shared')

/**
 * A message on a byte stream: the length of its first frame and the number of the others (4 bytes each), the lengths of
 * the others (6 bytes each), then all frames.
 */
const HEAD_BYTES = 8
const LENGTH_BYTES = 6

/** Events of a stream, for its user. */
export interface LocalStreamEvents {
  /** The other end has said who it is; throws if it is not believed. */
  greeted(greeting: Uint8Array): void
  /** Packets can be posted from now on. Returns the receiver of what comes in. */
  opened(post: (packet: Packet) => void): Pick<LinkEvents, 'received'>
  /** The other end has sent something that no process of this version sends. */
  failed(error: unknown): void
}

/**
 * One end of a connection within a host. It begins with a greeting in each direction. Two processes that can map each
 * other's memory then talk through a pipe in it, and the socket only wakes the one that sleeps and tells when the other has
 * ended; others talk through the socket.
 */
export class LocalStream {
  readonly #reader = new FrameReader((frames) => this.#take(frames))
  /** The context of the socket's events, in which what comes in through a pipe is handled, too: a local actor has its own. */
  readonly #context = new AsyncResource('TROUPE')
  #waiting: Packet[] = []
  #isScheduled = false
  /** Whether what has come in is being handled; what is posted meanwhile leaves right after. */
  #isReading = false
  #offered: Storage | undefined
  #pipe: SharedPipe | undefined
  /** Takes what comes in, once both ends have greeted. */
  #receiver: Pick<LinkEvents, 'received'> | undefined
  #isClosed = false

  /** @param answer the answer to the greeting of the end that connects; undefined for that end */
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
  readonly #post = (packet: Packet): void => {
    if (this.#isClosed) return
    if (this.#waiting.push(packet) >= MOST_AT_ONCE) this.flush()
    if (this.#isScheduled || this.#isReading) return
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
      this.#receiver !== undefined &&
      this.#waiting.length === 0 &&
      this.#pipe?.hasLeft !== false &&
      this.socket.writableLength === 0
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
    this.#isReading = true
    try {
      this.#reader.push(piece)
    } catch (error) {
      this.events.failed(error)
    } finally {
      this.#isReading = false
    }
    this.flush()
  }

  #take(frames: Uint8Array[]): void {
    if (this.#isClosed) return
    if (this.#receiver) {
      this.#receiver.received(frames)
      return
    }
    const [greeting, extra] = frames
    this.events.greeted(greeting!)
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
    this.#receiver = this.events.opened(this.#post)
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

/** The buffers to write for some packets, which leave as one message. */
export function frameMessage(packets: Packet[]): Uint8Array[] {
  const frames = join(packets)
  if (frames.length === 1) return [headOf(frames[0]!.length, 0, HEAD_BYTES), frames[0]!]
  const [first, ...others] = frames
  const head = headOf(first!.length, others.length, HEAD_BYTES + others.length * LENGTH_BYTES)
  others.forEach((frame, index) => {
    head.writeUIntLE(frame.length, HEAD_BYTES + index * LENGTH_BYTES, LENGTH_BYTES)
  })
  return [head, first!, ...others]
}

function headOf(first: number, others: number, bytes: number): Buffer {
  const head = Buffer.allocUnsafe(bytes)
  head.writeUInt32LE(first, 0)
  head.writeUInt32LE(others, 4)
  return head
}

/** Puts messages together again from the pieces that a byte stream arrives in. */
export class FrameReader {
  /** The most bytes that a message may have. */
  limit = Number.POSITIVE_INFINITY
  readonly #take: (frames: Uint8Array[]) => void
  /** The beginning of a message whose lengths have not all come. */
  #head: Buffer | undefined
  #lengths: number[] = []
  #frames: Uint8Array[] = []
  /** The number of bytes that have come of the frame under way. */
  #filled = 0
  #isSkipping = false

  /** @param take called with the frames of each message; those after the first may be kept */
  constructor(take: (frames: Uint8Array[]) => void) {
    this.#take = take
  }

  /**
   * Takes the next piece, which is not needed afterwards.
   *
   * @throws RangeError if a message claims to be larger than the limit, or than memory
   */
  push(piece: Buffer): void {
    this.#isSkipping = false
    let at = this.#lengths.length === 0 && !this.#head ? this.#takeWhole(piece) : 0
    while ((at < piece.length && !this.#isSkipping) || this.#isWhole()) {
      if (this.#isWhole()) {
        const frames = this.#frames
        this.#frames = []
        this.#lengths = []
        this.#take(frames)
      } else if (this.#lengths.length === 0) {
        at = this.#readHead(piece, at)
      } else {
        at = this.#readFrame(piece, at)
      }
    }
    // The first frame of a message whose other frames are yet to come.
    if (this.#frames.length > 0 && this.#frames[0]!.buffer === piece.buffer)
      this.#frames[0] = Buffer.from(this.#frames[0]!)
  }

  /** Passes over the rest of the piece that is being taken. */
  skip(): void {
    this.#isSkipping = true
  }

  /** Takes messages of one frame that lie in the piece whole, as most do. Returns where the first other one begins. */
  #takeWhole(piece: Buffer): number {
    let at = 0
    while (!this.#isSkipping && piece.length - at > HEAD_BYTES && piece.readUInt32LE(at + 4) === 0) {
      const length = piece.readUInt32LE(at)
      const start = at + HEAD_BYTES
      if (length === 0 || length > this.limit || length > piece.length - start) break
      at = start + length
      this.#take([piece.subarray(start, at)])
    }
    return at
  }

  #isWhole(): boolean {
    return this.#lengths.length > 0 && this.#frames.length === this.#lengths.length && this.#filled === 0
  }

  #readHead(piece: Buffer, at: number): number {
    const before = this.#head?.length ?? 0
    const known = this.#head ? Buffer.concat([this.#head, piece.subarray(at)]) : piece.subarray(at)
    const needed = known.length < HEAD_BYTES ? HEAD_BYTES : HEAD_BYTES + known.readUInt32LE(4) * LENGTH_BYTES
    if (needed > this.limit) throw new RangeError(`a message of more than ${this.limit} bytes`)
    if (known.length < needed) {
      this.#head = Buffer.from(known)
      return piece.length
    }
    this.#head = undefined
    this.#lengths = [known.readUInt32LE(0)]
    for (let offset = HEAD_BYTES; offset < needed; offset += LENGTH_BYTES) {
      this.#lengths.push(known.readUIntLE(offset, LENGTH_BYTES))
    }
    const total = this.#lengths.reduce((sum, length) => sum + length)
    if (total > this.limit) throw new RangeError(`a message of ${total} bytes, where ${this.limit} are allowed`)
    this.#skipEmpty()
    return at + needed - before
  }

  #readFrame(piece: Buffer, at: number): number {
    const index = this.#filled > 0 ? this.#frames.length - 1 : this.#frames.length
    const length = this.#lengths[index]!
    // The first frame is read at once and may lie in the piece; the others may be kept, so they get memory of their own.
    if (index === 0 && this.#filled === 0 && piece.length - at >= length) {
      this.#frames.push(piece.subarray(at, at + length))
      this.#skipEmpty()
      return at + length
    }
    if (this.#filled === 0) this.#frames.push(Buffer.allocUnsafeSlow(length))
    const count = Math.min(length - this.#filled, piece.length - at)
    this.#frames[index]!.set(piece.subarray(at, at + count), this.#filled)
    this.#filled += count
    if (this.#filled === length) {
      this.#filled = 0
      this.#skipEmpty()
    }
    return at + count
  }

  #skipEmpty(): void {
    while (this.#frames.length < this.#lengths.length && this.#lengths[this.#frames.length] === 0) {
      this.#frames.push(new Uint8Array())
    }
  }
}
