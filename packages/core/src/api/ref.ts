/**
 * A typed, awaitable reference to the value that a remote call will have computed. It may be awaited any number of times,
 * and passed as an argument of another call, where it arrives as its value. A failure that nobody awaits is not an
 * unhandled rejection.
 */
export class ObjectRef<T> extends Promise<T> {
  /** `then` gives plain promises. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise
  }

  /** Names the value in the cluster. */
  readonly id: string
  readonly #items: (() => AsyncIterator<unknown>) | undefined

  /** @internal */
  constructor(
    executor: (resolve: (value: T | PromiseLike<T>) => void, reject: (reason: unknown) => void) => void,
    id = '',
    items?: () => AsyncIterator<unknown>,
  ) {
    super(executor)
    this.id = id
    this.#items = items
  }

  /** @internal What makes the ref of a generator method iterable; its type is AsyncIterable then. */
  [Symbol.asyncIterator](): AsyncIterator<unknown> {
    if (!this.#items) throw new TypeError('this ref is not iterable')
    return this.#items()
  }
}
