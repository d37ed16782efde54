/** A generated token; `logits` [vocabulary] come with the first if they were asked for. */
export interface GeneratedToken {
  token: number
  logits?: Float32Array
}

/** The source of a stream's tokens; made when its first token is asked for. */
export interface TokenSource {
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

  /** @param start makes the source; what it throws is what the reader gets */
  constructor(private readonly start: (stream: TokenStream) => TokenSource) {}

  /** The next token has come. */
  push(token: GeneratedToken): void {
    if (this.#state !== 'open') return
    const reader = this.#readers.shift()
    if (reader) reader.resolve({ value: token, done: false })
    else this.#tokens.push(token)
  }

  /** No token will come any more. */
  end(error?: Error): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    this.#error = error
    for (const reader of this.#readers.splice(0)) {
      if (this.#error) reader.reject(this.#takeError())
      else reader.resolve({ value: undefined, done: true })
    }
  }

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

  return(): Promise<IteratorResult<GeneratedToken, void>> {
    this.#tokens.length = 0
    this.end()
    this.#error = undefined
    this.#source?.cancel()
    return Promise.resolve({ value: undefined, done: true })
  }

  async throw(error: unknown): Promise<never> {
    await this.return()
    throw error
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

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
