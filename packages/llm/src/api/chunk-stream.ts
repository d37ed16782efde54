import { InvalidInputError } from '@troupe/core'
import type { Stream, Usage } from './generation.js'

/** What the work of a stream has: where its chunks go, what it counts, and when it is to end. */
export interface Work<Chunk> {
  give(chunk: Chunk): void
  readonly usage: Usage
  /** Counts a token of an answer. */
  count(): void
  /** Aborted when nobody reads any more, or when the caller's own signal is. */
  readonly signal: AbortSignal
}

/** Chunks of a work that has begun, kept until they are read. */
export class ChunkStream<Chunk, Result> implements Stream<Chunk, Result> {
  readonly usage: Usage = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 }
  #firstTokenAt: number | undefined
  readonly #leaving = new AbortController()
  readonly #result: Promise<Result>
  readonly #chunks: Chunk[] = []
  readonly #readers: (() => void)[] = []
  #reading: 'awaited' | 'looped' | undefined
  #hasEnded = false

  /** @param signal ends the work, which then fails with its reason */
  constructor(work: (work: Work<Chunk>) => Promise<Result>, signal?: AbortSignal) {
    const both = signal ? AbortSignal.any([signal, this.#leaving.signal]) : this.#leaving.signal
    const give = (chunk: Chunk) => {
      if (this.#reading === 'awaited' || this.#leaving.signal.aborted) return
      this.#chunks.push(chunk)
      this.#wake()
    }
    const count = () => {
      this.usage.completionTokens++
      this.#firstTokenAt ??= performance.now()
    }
    this.#result = run(() => work({ give, count, usage: this.usage, signal: both }), both).finally(() => {
      this.#hasEnded = true
      this.#leaving.abort()
      this.#wake()
    })
    // Whoever reads gets the error; nobody may.
    this.#result.catch(() => {})
  }

  get firstTokenAt(): number | undefined {
    return this.#firstTokenAt
  }

  // biome-ignore lint/suspicious/noThenProperty: a stream is awaited for its result
  then<A = Result, B = never>(
    onResult?: ((result: Result) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    if (this.#reading === 'looped') return Promise.reject(readTwice()).then(onResult, onError)
    this.#reading = 'awaited'
    this.#chunks.length = 0
    return this.#result.then(onResult, onError)
  }

  [Symbol.asyncIterator](): AsyncIterator<Chunk, void, void> {
    if (this.#reading !== undefined) throw readTwice()
    this.#reading = 'looped'
    const done = { value: undefined, done: true } as const
    let isOver = false
    const next = async (): Promise<IteratorResult<Chunk, void>> => {
      while (!isOver) {
        if (this.#chunks.length > 0) return { value: this.#chunks.shift()!, done: false }
        if (this.#hasEnded) {
          isOver = true
          await this.#result
        } else {
          await new Promise<void>((resolve) => this.#readers.push(resolve))
        }
      }
      return done
    }
    const leave = async () => {
      isOver = true
      this.#chunks.length = 0
      this.#leaving.abort()
      this.#wake()
      return done
    }
    return { next, return: leave }
  }

  #wake(): void {
    for (const reader of this.#readers.splice(0)) reader()
  }
}

/** What work gives, or the reason of the signal that has ended it. */
async function run<Result>(work: () => Promise<Result>, signal: AbortSignal): Promise<Result> {
  signal.throwIfAborted()
  try {
    const result = await work()
    signal.throwIfAborted()
    return result
  } catch (error) {
    signal.throwIfAborted()
    throw error
  }
}

function readTwice(): InvalidInputError {
  return new InvalidInputError('answers can be read once: await them, or loop over them')
}
