/** What the ref of a call can do beside giving its value. */
export interface RefSource {
  readonly items?: () => AsyncIterator<unknown>
  readonly cancel?: (reason?: unknown) => void
  readonly release?: () => void
  /** Gives up the value, which no process holds any more. */
  readonly free?: () => void
}

/**
 * A typed, awaitable reference to the value that a remote call will have computed. It may be awaited any number of times,
 * and passed as an argument of another call, where it arrives as its value; inside of an argument it stays a ref, which the
 * receiver can await. A failure that nobody awaits is not an unhandled rejection.
 */
export class ObjectRef<T> extends Promise<T> {
  /** `then` gives plain promises. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise
  }

  /** Names the value in the cluster. */
  readonly id: string
  readonly #source: RefSource
  #isReleased = false

  /** @internal */
  constructor(
    executor: (resolve: (value: T | PromiseLike<T>) => void, reject: (reason: unknown) => void) => void,
    id = '',
    source: RefSource = {},
  ) {
    super(executor)
    this.id = id
    this.#source = source
  }

  /**
   * Cancels the call that computes the value: the ref rejects with a CancelledError, a call that waits its turn never
   * starts, and one that runs sees its signal aborted. Does nothing once there is an outcome.
   *
   * @param reason becomes the cause of the error
   */
  cancel(reason?: unknown): void {
    this.#source.cancel?.(reason)
  }

  /**
   * Says that this process needs the value no more. It is freed once no other process holds a ref of it; the garbage
   * collector says the same of refs that nothing uses, only later. What awaits this ref still gets the value.
   */
  release(): void {
    if (this.#isReleased) return
    this.#isReleased = true
    this.#source.release?.()
  }

  /** @internal No other process holds the ref any more. */
  unheld(): void {
    if (this.#isReleased) this.#source.free?.()
  }

  /** Whether {@link release} was called. */
  get isReleased(): boolean {
    return this.#isReleased
  }

  /** @internal What makes the ref of a generator method iterable; its type is AsyncIterable then. */
  [Symbol.asyncIterator](): AsyncIterator<unknown> {
    if (!this.#source.items) throw new TypeError('this ref is not iterable')
    return this.#source.items()
  }
}
