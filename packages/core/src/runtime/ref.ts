import type { Outcome } from '../protocol/location.js'
import type { RemoteRefState } from './remote-ref-state.js'

/** The source of a ref's value: the call that computes it, or the process that owns it. */
export interface RefSource {
  iterate?(): AsyncIterator<unknown>
  cancel?(reason?: unknown): void
  /** Somebody asks for the value for the first time. */
  wanted?(): void
  /** Somebody asks for the value, with a function that is to take it. */
  awaited?(fulfilled: unknown): void
  /** Somebody asks whether there is an outcome. */
  asked?(): void
  /** The ref is passed on. */
  used?(): void
  /** The ref was released, and nothing in this process uses it any more. */
  freed?(): void
}

let waits: ((ref: ObjectRef<unknown>) => void) | undefined

/** Has a function called for every wait for a ref in this process. */
export function observeWaits(observer: (ref: ObjectRef<unknown>) => void): void {
  waits = observer
}

/**
 * A typed, awaitable reference to the value that a remote call will have computed. It may be awaited any number of times,
 * and passed as an argument of another call, where it arrives as its value; inside of an argument it stays a ref, which the
 * receiver can await.
 *
 * A failure is no unhandled rejection, as the ref may be awaited at any time. Once it is collected, or the process ends, and
 * nobody has awaited it, waited for it, passed it on or released it, a warning tells of the failure; `connect` has an option
 * for that.
 *
 * A result of 1 MiB and more, encoded, that was computed on another node stays with the process that computed it: awaiting
 * the ref brings it over, and a call that it is passed to fetches it from there. Lost with that process, the result of a task
 * is computed anew, and that of an actor is an ObjectLostError.
 */
export class ObjectRef<T> extends Promise<T> {
  /** `then` gives plain promises. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise
  }

  /** Names the value in the cluster. */
  readonly id: string
  readonly #source: RefSource
  #isWanted = false
  #isReleased = false
  #uses = 0
  #elsewhere: RemoteRefState | undefined
  #located: (() => void)[] | undefined
  /** Called when there is an outcome; undefined before the first is added, and empty once there is one. */
  #observers: Set<() => void> | undefined
  #isReady = false

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

  // biome-ignore lint/suspicious/noThenProperty: the ref is a promise whose value may have to be brought over
  override then<A = T, B = never>(
    fulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    rejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    if (!this.#isWanted) {
      this.#isWanted = true
      this.#source.wanted?.()
      if (this.#elsewhere) this.#bring()
    }
    this.#source.awaited?.(fulfilled)
    waits?.(this)
    return super.then(fulfilled, rejected)
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
   * collector says the same of refs that nothing uses, only later. Code that awaits this ref already still gets the value.
   */
  release(): void {
    if (this.#isReleased) return
    this.#isReleased = true
    this.#freeIfUnused()
  }

  /** Whether {@link release} was called. */
  get isReleased(): boolean {
    return this.#isReleased
  }

  /** @internal Whether somebody has asked for the value. */
  get isWanted(): boolean {
    return this.#isWanted
  }

  /** @internal Where the value lives, if it has not come to this process with the answer. */
  get elsewhere(): RemoteRefState | undefined {
    return this.#elsewhere
  }

  /** @internal Resolves once the value is here, or the failure; that does not ask for it. */
  async settled(): Promise<void> {
    await super.then(
      () => {},
      () => {},
    )
  }

  /** @internal Observes a failure without asking for the value. */
  quietly(rejected: (reason: unknown) => void): void {
    super.then(undefined, rejected)
  }

  /** @internal Keeps the value, also after a release, until the returned function is called. */
  use(): () => void {
    this.#source.used?.()
    this.#uses += 1
    let isUsed = true
    return () => {
      if (!isUsed) return
      isUsed = false
      this.#uses -= 1
      this.#freeIfUnused()
    }
  }

  /** @internal The value is there, in another process. */
  locate(elsewhere: RemoteRefState): void {
    this.#elsewhere = elsewhere
    for (const located of this.#located?.splice(0) ?? []) located()
    if (this.#isWanted) this.#bring()
    else this.#freeIfUnused()
  }

  /** @internal Resolves once there is an outcome; that does not bring a value over. */
  async ready(): Promise<void> {
    if (this.#elsewhere) return
    await new Promise<void>((resolve) => {
      this.#located ??= []
      this.#located.push(resolve)
      this.#source.asked?.()
      super.then(
        () => resolve(),
        () => resolve(),
      )
    })
  }

  /** @internal Calls a function when there is an outcome, as `ready` does. Returns what calls that off and leaves nothing. */
  onceReady(act: () => void): () => void {
    if (!this.#observers) {
      const observers = new Set<() => void>()
      this.#observers = observers
      void this.ready().then(() => {
        this.#isReady = true
        for (const observer of observers) observer()
        observers.clear()
      })
    }
    if (this.#isReady) queueMicrotask(act)
    else this.#observers.add(act)
    return () => this.#observers?.delete(act)
  }

  /**
   * @internal Waits for what another process is told about the value.
   *
   * @param lost a process where the value could not be reached any more
   */
  async outcome(lost?: string): Promise<Outcome> {
    await this.ready()
    const at = await this.#elsewhere?.location(lost)
    return at ? { at } : { value: await this }
  }

  /** @internal Makes the ref of a generator method iterable; its type is AsyncIterable then. */
  [Symbol.asyncIterator](): AsyncIterator<unknown> {
    if (!this.#source.iterate) throw new TypeError('this ref is not iterable')
    return this.#source.iterate()
  }

  #bring(): void {
    const done = this.use()
    void this.#elsewhere?.bring().then(done)
  }

  #freeIfUnused(): void {
    if (!this.#isReleased || this.#uses > 0) return
    this.#source.freed?.()
    this.#elsewhere?.free()
  }
}
