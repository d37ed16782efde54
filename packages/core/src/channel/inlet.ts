import { ChannelReader, type SharedMemoryHandle } from '@troupe/native'
import { ChannelClosedError } from '../common/errors.js'
import { processWaker, Sleeper } from './event-loop.js'
import { MessageReader } from './message.js'

/** A reading end of a channel, wherever its writer is. */
export interface Inlet {
  /** Whether a message has come. If the channel allows it, this thread waits for one, at most for some microseconds. */
  poll(microseconds: number): boolean
  /** Takes the next message, or what failed in reading it; `NOTHING` if none has come. Waits as `poll` does. */
  next(microseconds: number): unknown
  /** Whether the last message that was taken is about a failure. */
  readonly isFailure: boolean
  /** Has a function called once at the next news: a message, or the end. False when there is some already. */
  arm(woken: () => void): boolean
  disarm(): void
  /** The reason why no message will come after those that have: the writer's own word, or its death. */
  readonly ending: ChannelClosedError | undefined
  /** Whether that was the writer's own word. */
  readonly isClosed: boolean
  close(): void
  /** The end in shared memory, where it is in some. */
  readonly native: ChannelReader | undefined
}

/** A reader in the memory that it shares with its writer. */
export class SharedInlet extends MessageReader implements Inlet {
  readonly #sleeper = new Sleeper()

  constructor(memory: SharedMemoryHandle, index: number) {
    super(new ChannelReader(memory, index, processWaker()))
  }

  poll(microseconds: number): boolean {
    return this.native.peek(microseconds)
  }

  get isClosed(): boolean {
    return this.native.isClosed
  }

  arm(woken: () => void): boolean {
    if (!this.native.arm()) return false
    this.#sleeper.sleep(woken)
    return true
  }

  disarm(): void {
    this.native.disarm()
    this.#sleeper.cancel()
  }

  get ending(): ChannelClosedError | undefined {
    const { isClosed, isWriterAlive, writerPid } = this.native
    if (isClosed) return new ChannelClosedError('the channel was closed by its writer')
    if (!isWriterAlive) return new ChannelClosedError(`the writer of the channel, process ${writerPid}, has died`)
    return undefined
  }

  close(): void {
    this.disarm()
    this.closeWhenTaken()
  }
}
