import { ChannelWriter, type SharedMemoryHandle } from '@troupe/native'
import { ChannelClosedError } from '../common/errors.js'
import { processWaker, Sleeper } from './event-loop.js'
import { isShortString, type Message, MOST_INLINE, messageOf, packPlain, writeMessage } from './message.js'

/** Milliseconds between two looks at what readers have taken, while something is held for them. */
const RELEASE_INTERVAL = 100

interface Held {
  /** The number of the message that pins it. */
  readonly message: number
  readonly release: () => void
}

/** The writing end of a channel in shared memory. */
export class Outlet {
  readonly #writer: ChannelWriter
  readonly #held: Held[] = []
  #releasing: NodeJS.Timeout | undefined
  readonly #sleeper = new Sleeper()

  /** @param messages the number that the slowest reader may be behind, each of any size */
  constructor(messages: number, readers: number) {
    const bytes = messages * (MOST_INLINE + 16)
    this.#writer = new ChannelWriter({ messages, bytes, readers }, processWaker())
  }

  get memory(): SharedMemoryHandle {
    return this.#writer.handle
  }

  get hasReaders(): boolean {
    return this.#writer.hasReaders
  }

  /**
   * Writes a value as it is now; false when the channel is full.
   *
   * @throws InvalidInputError if it cannot be sent
   */
  writeValue(value: unknown, subject: string): boolean {
    const hasWritten = this.#writer.writeScalar(value)
    if (hasWritten !== undefined) return hasWritten
    if (isShortString(value)) return this.#writer.write(0, packPlain(value))
    if (!this.#writer.hasRoom(MOST_INLINE)) return false
    return this.write(messageOf(value, subject))
  }

  /** Writes a message; false when the channel is full. Holds what it pins until all readers have taken it. */
  write(message: Message): boolean {
    if (!writeMessage(this.#writer, message)) return false
    if (message.pins.length > 0) this.#hold(message)
    else if (this.#held.length > 0) this.releaseTaken()
    return true
  }

  /** Has a function called once when there is room; false when there is some already. */
  arm(woken: () => void): boolean {
    if (!this.#writer.arm(MOST_INLINE)) return false
    this.#sleeper.sleep(woken)
    return true
  }

  disarm(): void {
    this.#sleeper.cancel()
  }

  checkReaders(): void {
    this.#writer.checkReaders()
  }

  /** Lets go of what the readers have taken. */
  releaseTaken(): void {
    if (this.#held.length === 0) return
    const { taken, hasReaders } = this.#writer
    const isTaken = ({ message }: Held) => message <= taken || !hasReaders
    while (this.#held[0] && isTaken(this.#held[0])) this.#held.shift()!.release()
    if (this.#held.length > 0) return
    clearInterval(this.#releasing)
    this.#releasing = undefined
  }

  /** Says that nothing more will come. Messages that readers still have to take stay until they have. */
  close(): void {
    this.disarm()
    this.#writer.close()
  }

  #hold({ pins }: Message): void {
    this.releaseTaken()
    const message = this.#writer.written
    for (const release of pins) this.#held.push({ message, release })
    this.#releasing ??= setInterval(() => {
      this.checkReaders()
      this.releaseTaken()
    }, RELEASE_INTERVAL).unref()
  }
}

/** The error of a writer without readers. */
export function noReaders(): ChannelClosedError {
  return new ChannelClosedError('all readers of the channel have gone')
}
