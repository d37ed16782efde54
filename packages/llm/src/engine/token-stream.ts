import type { EndReason, GeneratedToken } from './request.js'

/** The source of a stream's tokens; made when its first token is asked for. */
export interface TokenSource {
  /** Tokens of the prompt that were in the cache already. */
  readonly cachedTokens: number
  /** Nobody reads any more. */
  cancel(): void
}

/**
 * The tokens of one request, as they come. Nothing is computed before the first is asked for. Ending the loop over it ends
 * the request at once, wherever it is.
 */
export class TokenStream implements AsyncGenerator<GeneratedToken, void, void> {
  readonly #tokens: GeneratedToken[] = []
  readonly #readers: {
    resolve: (result: IteratorResult<GeneratedToken, void>) => void
    reject: (error: Error) => void
  }[] = []
  #source: TokenSource | undefined
  #state: 'unread' | 'open' | 'ended' = 'unread'
  #error: Error | undefined
  #reason: EndReason | undefined

  /**
   * @internal
   * @param start makes the source; what it throws is what the reader gets
   */
  constructor(private readonly start: (stream: TokenStream) => TokenSource) {}

  /** Why the text ended, once it has. */
  get finishReason(): EndReason | undefined {
    return this.#reason
  }

  /** Tokens of the prompt that were found in the KV cache, and not computed; 0 until the first token has come. */
  get cachedTokens(): number {
    return this.#source?.cachedTokens ?? 0
  }

  /** @internal The next token has come. */
  push(token: GeneratedToken): void {
    if (this.#state !== 'open') return
    const reader = this.#readers.shift()
    if (reader) reader.resolve({ value: token, done: false })
    else this.#tokens.push(token)
  }

  /** @internal No token will come any more. */
  end(outcome?: Error | EndReason): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    if (typeof outcome === 'string') this.#reason = outcome
    else this.#error = outcome
    for (const reader of this.#readers.splice(0)) {
      if (this.#error) reader.reject(this.#takeError())
      else reader.resolve({ value: undefined, done: true })
    }
  }

  /** The next token, when it has come. The first call begins the request. */
  next(): Promise<IteratorResult<GeneratedToken, void>> {
    if (this.#state === 'unread') {
      this.#state = 'open'
      try {
        this.#source = this.start(this)
      } catch (error) {
        this.end(error as Error)
      }
    }
    const token = this.#tokens.shift()
    if (token) return Promise.resolve({ value: token, done: false })
    if (this.#error) return Promise.reject(this.#takeError())
    if (this.#state === 'ended') return Promise.resolve({ value: undefined, done: true })
    return new Promise((resolve, reject) => {
      this.#readers.push({ resolve, reject })
    })
  }

  /** Ends the request, wherever it is. */
  return(): Promise<IteratorResult<GeneratedToken, void>> {
    this.#tokens.length = 0
    this.end()
    this.#error = undefined
    this.#source?.cancel()
    return Promise.resolve({ value: undefined, done: true })
  }

  /** As return(), and rejects with the error. */
  async throw(error: unknown): Promise<IteratorResult<GeneratedToken, void>> {
    await this.return()
    throw error
  }

  /** As return(). */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  /** The stream itself. */
  [Symbol.asyncIterator](): this {
    return this
  }

  /** An error is thrown once; then the stream is over. */
  #takeError(): Error {
    const error = this.#error!
    this.#error = undefined
    return error
  }
}
