import { ObjectRef } from '../runtime/ref.js'

/** The part of a graph that its executions need. */
export interface ExecutionOwner {
  /** Looks for results, for a little while if some may come soon. */
  poll(execution: Execution): void
  /** An execution failed, and somebody has learned of that. */
  noticed(error: unknown): void
}

/** The ref of an execution: awaiting it makes this process look for the result. */
class ExecutionRef extends ObjectRef<unknown> {
  #execution: Execution | undefined

  follow(execution: Execution): void {
    this.#execution = execution
  }

  // biome-ignore lint/suspicious/noThenProperty: the ref is a promise that is polled when it is first asked for
  override then<A = unknown, B = never>(
    fulfilled?: ((value: unknown) => A | PromiseLike<A>) | null,
    rejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    const execution = this.#execution
    if (execution && !execution.isSettled) execution.owner.poll(execution)
    return super.then(fulfilled, rejected)
  }
}

/** One run of a graph, as the process that asked for it sees it. */
export class Execution {
  readonly ref: ExecutionRef
  isSettled = false
  readonly #values: unknown[]
  #missing: number
  #error: unknown
  #hasFailed = false
  #failure: { readonly error: unknown } | undefined
  #resolve!: (value: unknown) => void
  #reject!: (error: unknown) => void

  /**
   * @param outputs the number of values that it waits for
   * @param compose makes the result of those
   */
  constructor(
    readonly owner: ExecutionOwner,
    id: string,
    outputs: number,
    private readonly compose: (values: readonly unknown[]) => unknown,
    readonly start: number,
  ) {
    this.#values = new Array(outputs)
    this.#missing = outputs
    this.ref = new ExecutionRef(
      (resolve, reject) => {
        this.#resolve = resolve
        this.#reject = reject
      },
      id,
      { wanted: () => this.#failure && this.owner.noticed(this.#failure.error) },
    )
    // A failure that nobody awaits is not an unhandled rejection.
    this.ref.quietly(() => {})
    this.ref.follow(this)
  }

  /** An output has come; returns whether it was the last one. */
  output(index: number, value: unknown, isFailure: boolean): boolean {
    if (isFailure && !this.#hasFailed) {
      this.#hasFailed = true
      this.#error = value
    }
    this.#values[index] = value
    this.#missing -= 1
    if (this.#missing > 0) return false
    if (this.#hasFailed) this.fail(this.#error)
    else if (!this.isSettled) {
      this.isSettled = true
      this.#resolve(this.compose(this.#values))
    }
    return true
  }

  fail(error: unknown): void {
    if (this.isSettled) return
    this.isSettled = true
    this.#failure = { error }
    this.#reject(error)
    if (this.ref.isWanted) this.owner.noticed(error)
  }
}
