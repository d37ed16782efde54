import type { Stream, Usage } from '@troupe/llm'

interface Script<Chunk, Result> {
  promptTokens: number
  chunks: readonly Chunk[]
  /** Is waited for before a chunk. */
  pause(chunk: number): Promise<void> | undefined
  signal: AbortSignal | undefined
  resultOf(usage: Usage): Result
  onEnd(wasAborted: boolean): void
}

/** A stream that gives what is written down, a chunk a turn. */
export class ScriptedStream<Chunk extends { tokens: readonly number[] }, Result> implements Stream<Chunk, Result> {
  readonly usage: Usage
  firstTokenAt: number | undefined
  readonly #queue: Chunk[] = []
  readonly #left = new AbortController()
  readonly #done: Promise<void>
  #wake = () => {}

  constructor(private readonly script: Script<Chunk, Result>) {
    this.usage = { promptTokens: script.promptTokens, cachedTokens: 0, completionTokens: 0 }
    this.#done = this.#run()
    this.#done.catch(() => {}).finally(() => this.#wake())
  }

  // biome-ignore lint/suspicious/noThenProperty: a stream can be awaited
  then<A = Result, B = never>(
    fulfilled?: ((value: Result) => A | PromiseLike<A>) | null,
    rejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): PromiseLike<A | B> {
    return this.#done.then(() => this.script.resultOf(this.usage)).then(fulfilled, rejected)
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Chunk> {
    let isOver = false
    this.#done
      .catch(() => {})
      .finally(() => {
        isOver = true
        this.#wake()
      })
    try {
      for (;;) {
        const chunk = this.#queue.shift()
        if (chunk !== undefined) yield chunk
        else if (isOver) break
        else
          await new Promise<void>((resolve) => {
            this.#wake = resolve
          })
      }
      await this.#done
    } finally {
      this.#left.abort(new Error('nobody reads any more'))
    }
  }

  async #run(): Promise<void> {
    const { chunks, pause, signal, onEnd } = this.script
    const signals = [this.#left.signal, ...(signal ? [signal] : [])]
    let isAborted = false
    const aborted = new Promise<never>((_, reject) => {
      for (const other of signals) {
        const abort = () => {
          isAborted = true
          reject(other.reason)
        }
        if (other.aborted) abort()
        else other.addEventListener('abort', abort, { once: true })
      }
    })
    aborted.catch(() => {})
    let isComplete = false
    try {
      for (const [index, chunk] of chunks.entries()) {
        await Promise.race([aborted, pause(index) ?? new Promise((resolve) => setImmediate(resolve))])
        if (chunk.tokens.length > 0) this.firstTokenAt ??= performance.now()
        this.usage.completionTokens += chunk.tokens.length
        this.#queue.push(chunk)
        this.#wake()
      }
      isComplete = true
    } finally {
      onEnd(!isComplete && isAborted)
    }
  }
}
