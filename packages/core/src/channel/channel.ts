import { inspect } from 'node:util'
import type { SharedMemoryHandle } from '@troupe/native'
import { ChannelClosedError, DeadlineExceededError, InvalidInputError } from '../common/errors.js'
import { checkCount } from '../runtime/call-options.js'
import { currentRuntime, runtimeOrNone } from '../runtime/current.js'
import type { OwnerData } from '../runtime/ref-codec.js'
import { registerCodec } from '../transport/codec.js'
import { randomId } from '../transport/connection-manager.js'
import { ChannelTable } from './channel-table.js'
import { type Inlet, SharedInlet } from './inlet.js'
import { type Message, messageOf, NOTHING } from './message.js'
import { noReaders, Outlet } from './outlet.js'
import { RemoteInlet, type RemoteMessage } from './remote-inlet.js'

/** Microseconds that this thread waits for the next message of a channel that has just had one, before its event loop does. */
const WAIT = 50
/** Milliseconds after which an end that waits looks whether the other one still lives: nothing wakes it when that dies. */
const LIVENESS_INTERVAL = 100

/** Options of a channel. */
export interface ChannelOptions {
  /** The number of readers, which each get every message; 1 by default. */
  readonly readers?: number
  /** Messages that the slowest reader may be behind before the writer waits; 16 by default. */
  readonly capacity?: number
}

/** The place where a reader finds its channel. */
interface ChannelAddress {
  readonly id: string
  readonly nodeId: string
  readonly owner: OwnerData | undefined
  readonly memory: SharedMemoryHandle
}

/**
 * A bounded queue of messages that this process writes, and that each of its readers gets all of. Readers are passed to
 * other processes as arguments. On one node messages go through shared memory, tensors in them by handle and large arrays
 * in place, and wake a reader that sleeps; to other nodes they go over TCP. An end that dies holds up nobody.
 *
 * @example
 * ```ts
 * const frames = new Channel<Tensor>({ readers: 2, capacity: 8 })
 * const done = [left.watch(frames.readers[0]!), right.watch(frames.readers[1]!)]
 * for (const frame of movie) await frames.send(frame)   // waits while one of them is 8 frames behind
 * frames.close()
 *
 * async watch(frames: ChannelReader<Tensor>) { for await (const frame of frames) this.show(frame) }
 * ```
 */
export class Channel<T> {
  readonly readers: readonly ChannelReader<T>[]
  readonly #outlet: Outlet
  readonly #forgets: (() => void)[]
  /** Messages that wait for room, with who waits for them. */
  readonly #waiting: { message: Message; resolve: () => void; reject: (error: Error) => void }[] = []
  #liveness: NodeJS.Timeout | undefined
  /** The reason why it is closed, once it is. */
  #ending: string | undefined

  /** @throws InvalidInputError if an option is out of range */
  constructor({ readers = 1, capacity = 16 }: ChannelOptions = {}) {
    checkCount('readers', readers, 1)
    checkCount('capacity', capacity, 1)
    if (readers > 256 || capacity > 65536) {
      throw new InvalidInputError(
        `a channel has at most 256 readers and a capacity of 65536, found ${readers} and ${capacity}`,
      )
    }
    const { outlet, ends, forget } = makeChannel(capacity, readers)
    this.#outlet = outlet
    const leave = runtimeOrNone()
      ?.service(ChannelTable)
      .onEnd((reason) => this.#end(`the channel was closed: ${reason}`))
    this.#forgets = [forget, leave ?? (() => {})]
    this.readers = ends as ChannelReader<T>[]
  }

  /**
   * Sends a value as it is now; tensors in it are shared. Resolves when it is in the channel, which is at once unless a
   * reader is behind by the channel's capacity. Values arrive in the order they were sent.
   *
   * @throws InvalidInputError if the value cannot be sent
   * @throws ChannelClosedError if the channel was closed, all readers have gone, or the cluster was shut down
   */
  async send(value: T): Promise<void> {
    this.#check()
    if (this.#waiting.length === 0 && this.#outlet.writeValue(value, 'the message')) return
    const message = messageOf(value, 'the message')
    await new Promise<void>((resolve, reject) => {
      this.#waiting.push({ message, resolve, reject })
      this.#flush()
    })
  }

  /**
   * Sends a value if there is room, and returns whether there was.
   *
   * @throws as {@link send}
   */
  trySend(value: T): boolean {
    this.#check()
    return this.#waiting.length === 0 && this.#outlet.writeValue(value, 'the message')
  }

  /** Says that nothing more will come; readers still get what was sent. Sends that wait for room fail. */
  close(): void {
    this.#end('the channel was closed')
  }

  #end(reason: string): void {
    if (this.#ending !== undefined) return
    this.#ending = reason
    clearInterval(this.#liveness)
    this.#refuse(new ChannelClosedError(reason))
    this.#outlet.close()
    for (const forget of this.#forgets) forget()
  }

  #refuse(error: Error): void {
    for (const { message, reject } of this.#waiting.splice(0)) {
      for (const release of message.pins) release()
      reject(error)
    }
  }

  #check(): void {
    if (this.#ending !== undefined) throw new ChannelClosedError(this.#ending)
    if (!this.#outlet.hasReaders) throw noReaders()
  }

  #flush(): void {
    const flush = () => this.#flush()
    while (this.#waiting[0]) {
      const { message, resolve } = this.#waiting[0]
      if (!this.#outlet.hasReaders) {
        this.#refuse(noReaders())
      } else if (this.#outlet.write(message)) {
        this.#waiting.shift()
        resolve()
      } else if (this.#outlet.arm(flush)) {
        this.#liveness ??= setInterval(() => {
          this.#outlet.checkReaders()
          if (!this.#outlet.hasReaders) this.#flush()
        }, LIVENESS_INTERVAL).unref()
        return
      }
    }
    this.#outlet.disarm()
    clearInterval(this.#liveness)
    this.#liveness = undefined
  }
}

/**
 * One reading end of a {@link Channel}. It belongs to the process that first reads from it; until then it can be passed on.
 */
export class ChannelReader<T> implements AsyncIterable<T> {
  /** @internal */
  readonly address: ChannelAddress
  /** @internal */
  readonly index: number
  #inlet: Inlet | undefined
  /** The reason why it takes no more, once it does not. */
  #ending: string | undefined
  #isBusy = false
  #wake: (() => void) | undefined
  #last: Promise<unknown> = Promise.resolve()

  /** @internal */
  constructor(address: ChannelAddress, index: number) {
    this.address = address
    this.index = index
  }

  /** The text that `console.log` shows. */
  [inspect.custom](): string {
    return `ChannelReader(${this.address.id}#${this.index})`
  }

  /** @internal The open end; opening it is what makes it this process's. */
  open(): Inlet {
    if (this.#ending !== undefined) throw new ChannelClosedError(this.#ending)
    if (this.#inlet) return this.#inlet
    const { id, nodeId, owner, memory } = this.address
    const isHere = !owner || nodeId === (runtimeOrNone()?.self.nodeId ?? '')
    this.#inlet = isHere ? openShared(memory, this.index) : new RemoteInlet(id, this.index, owner)
    return this.#inlet
  }

  /**
   * The next message. Receives that are called together get messages one after the other.
   *
   * @throws ChannelClosedError when the writer has closed the channel or died, once all it sent was received
   */
  receive(): Promise<T> {
    const next = this.#last.then(() => this.#next())
    this.#last = next.catch(() => {})
    return next
  }

  /** The next message if one has come. */
  tryReceive(): { readonly value: T } | undefined {
    const value = taken(this.open(), 0)
    return value === NOTHING ? undefined : { value: value as T }
  }

  /**
   * The next message, for loops that do nothing else: this thread sleeps until it comes, so that neither calls nor timers
   * run meanwhile, and wakes in a third of the time that the event loop takes.
   *
   * @param timeout milliseconds; without it only the end of the writer ends the wait
   * @throws ChannelClosedError as {@link receive}
   * @throws DeadlineExceededError when nothing came in time
   * @throws InvalidInputError if the writer is on another node
   */
  receiveSync(timeout = Number.POSITIVE_INFINITY): T {
    const inlet = this.open()
    if (!inlet.native) throw new InvalidInputError('receiveSync reads channels of its own node; use receive')
    let value = taken(inlet, this.#isBusy ? WAIT : 0)
    if (value === NOTHING) {
      inlet.native.wait(timeout)
      value = taken(inlet, 0)
      if (value === NOTHING) throw inlet.ending ?? new DeadlineExceededError(`no message came within ${timeout} ms`)
    }
    this.#isBusy = true
    return value as T
  }

  /** Takes no more messages; the writer no longer waits for this reader. */
  close(): void {
    this.#end('this reader was closed')
  }

  #end(reason: string): void {
    if (this.#ending !== undefined) return
    // The writer waits for a reader that has not come yet, so it is told by one that comes and goes.
    try {
      this.open().close()
    } catch (error) {
      if (!(error instanceof ChannelClosedError)) throw error
    }
    this.#ending = reason
    this.#wake?.()
  }

  /** The messages until the writer closes the channel. @throws ChannelClosedError if it dies instead */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, void> {
    try {
      for (;;) yield await this.receive()
    } catch (error) {
      if (!(error instanceof ChannelClosedError && this.#inlet?.isClosed)) throw error
    } finally {
      this.close()
    }
  }

  async #next(): Promise<T> {
    const inlet = this.open()
    for (;;) {
      const value = taken(inlet, this.#isBusy ? WAIT : 0)
      if (value !== NOTHING) {
        this.#isBusy = true
        return value as T
      }
      this.#isBusy = false
      if (inlet.ending && !inlet.poll(0)) throw inlet.ending
      const stay = runtimeOrNone()
        ?.service(ChannelTable)
        .onEnd((reason) => this.#end(`this reader was closed: ${reason}`))
      await news(inlet, (wake) => {
        this.#wake = wake
      })
      stay?.()
      if (this.#ending !== undefined) throw new ChannelClosedError(this.#ending)
    }
  }
}

/** The next message of an inlet, or `NOTHING`. @throws what failed in reading it */
function taken(inlet: Inlet, microseconds: number): unknown {
  const value = inlet.next(microseconds)
  if (value !== NOTHING && inlet.isFailure) throw value
  return value
}

/** Makes a channel whose readers can be passed to other processes until it is forgotten. */
export function makeChannel(
  capacity: number,
  readers: number,
): { outlet: Outlet; ends: ChannelReader<unknown>[]; forget: () => void } {
  const outlet = new Outlet(capacity, readers)
  const runtime = runtimeOrNone()
  const id = randomId()
  const nodeId = runtime?.self.nodeId ?? ''
  const address: ChannelAddress = { id, nodeId, owner: runtime?.asOwner, memory: outlet.memory }
  const ends = Array.from({ length: readers }, (_, index) => new ChannelReader<unknown>(address, index))
  // Holds the outlet too: its memory must outlast the time until the readers have opened it.
  const held = { outlet, messagesFor: (index: number) => messagesOf(ends[index]!) }
  runtime?.service(ChannelTable).add(id, held)
  return { outlet, ends, forget: () => runtime?.service(ChannelTable).remove(id) }
}

/** Resolves at the next news of an inlet, when its writer has died without any, or when `waits` has it woken. */
async function news(inlet: Inlet, waits: (wake: () => void) => void = () => {}): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  await new Promise<void>((resolve) => {
    waits(resolve)
    if (!inlet.arm(resolve)) resolve()
    timer = setInterval(() => {
      if (inlet.ending) resolve()
    }, LIVENESS_INTERVAL).unref()
  })
  clearInterval(timer)
  inlet.disarm()
}

function openShared(memory: SharedMemoryHandle, index: number): Inlet {
  try {
    return new SharedInlet(memory, index)
  } catch (error) {
    throw new ChannelClosedError(`the channel cannot be read: ${(error as Error).message}`)
  }
}

/** The messages for a reader of another node. */
async function* messagesOf(reader: ChannelReader<unknown>): AsyncGenerator<RemoteMessage> {
  const inlet = reader.open()
  for (;;) {
    for (let value = inlet.next(0); value !== NOTHING; value = inlet.next(0)) {
      yield { value, isFailure: inlet.isFailure }
    }
    if (inlet.ending) return
    await news(inlet)
  }
}

registerCodec<ChannelReader<unknown>, { address: ChannelAddress; index: number }>({
  name: 'troupe.channel-reader',
  matches: (value): value is ChannelReader<unknown> => value instanceof ChannelReader,
  encode: ({ address, index }) => {
    if (address.owner) return { address, index }
    currentRuntime()
    throw new InvalidInputError('the channel was made before connect() was called; make it afterwards')
  },
  decode: ({ address, index }) => new ChannelReader(address, index),
})
