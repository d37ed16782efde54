import type { Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'

/** Bytes of lines that wait for who reads the stream; of more the oldest are dropped. */
const MOST_WAITING = 2 ** 20
/** Bytes that the stream itself is given ahead. */
const MOST_AHEAD = 64 * 2 ** 10
/** Milliseconds without progress after which an end waits no longer for the reader. */
const STALLED = 500

/** Writes lines to a stream whose reader may lag, or not read at all, and keeps no more of them than a bound. */
export class LineWriter {
  readonly #stream: Writable
  readonly #lines: string[] = []
  /** The first of the lines that waits; those before it have gone. */
  #first = 0
  #bytes = 0
  #dropped = 0
  #isAwaited = false
  readonly #mostWaiting: number

  constructor(stream: Writable, mostWaiting = MOST_WAITING) {
    this.#stream = stream
    this.#mostWaiting = mostWaiting
  }

  write(line: string): void {
    this.#lines.push(line)
    this.#bytes += line.length + 1
    this.#pass()
    while (this.#bytes > this.#mostWaiting) {
      this.#take()
      this.#dropped += 1
    }
  }

  /** Resolves when all has been written, or nobody reads it. */
  async flush(): Promise<void> {
    for (let left = Number.POSITIVE_INFINITY; left > 0; ) {
      this.#pass()
      left = this.#bytes + this.#stream.writableLength
      if (left === 0 || this.#stream.destroyed) return
      const deadline = performance.now() + STALLED
      while (this.#bytes + this.#stream.writableLength >= left) {
        if (performance.now() > deadline) return
        await delay(5)
        this.#pass()
      }
    }
  }

  #pass(): void {
    while (this.#first < this.#lines.length) {
      if (this.#stream.writableLength > MOST_AHEAD) {
        this.#await()
        return
      }
      if (this.#dropped > 0) {
        this.#put(`[troupe] (${this.#dropped} lines were left out: they came faster than they were read)`)
        this.#dropped = 0
      }
      this.#put(this.#take())
    }
  }

  /** Writes a line. It is no failure if nobody reads any more, as it is none for the console. */
  #put(line: string): void {
    this.#stream.write(`${line}\n`, (error) => {
      if (error && this.#stream.listenerCount('error') === 0) this.#stream.once('error', () => {})
    })
  }

  #take(): string {
    const line = this.#lines[this.#first]!
    this.#first += 1
    this.#bytes -= line.length + 1
    // To shift each would move all the others.
    if (this.#first > 1000 && this.#first * 2 > this.#lines.length) {
      this.#lines.splice(0, this.#first)
      this.#first = 0
    }
    return line
  }

  #await(): void {
    if (this.#isAwaited) return
    this.#isAwaited = true
    this.#stream.once('drain', () => {
      this.#isAwaited = false
      this.#pass()
    })
  }
}
