import type { Method } from '../common/method.js'
import type { Semaphore } from '../runtime/semaphore.js'
import type { GraphStep } from './protocol.js'

/** A failure on its way through a graph, in place of a value. */
export class Failed {
  constructor(readonly error: unknown) {}
}

/** The code of a step, which runs once its values are there. */
export interface StepAction {
  readonly run: Method
  /** The semaphore whose turns it takes; none for a step that does not run the actor's code. */
  readonly semaphore: Semaphore | undefined
  /** Whether it also runs when a value has failed. */
  readonly takesFailures: boolean
}

/** Runs one step for one execution after the other, each as soon as all its values are there. */
export class StepRunner {
  /** The values that have come for each argument; undefined for those that are constant. */
  readonly #queues: (unknown[] | undefined)[]
  readonly #constants: readonly unknown[]
  readonly #action: StepAction
  readonly #done: (result: unknown, start: number) => void
  /** Whether each execution has one value to wait for. */
  readonly #hasOneValue: boolean
  #isBusy = false

  /** @param done called with the result, or with a {@link Failed} */
  constructor(step: GraphStep, action: StepAction, done: (result: unknown, start: number) => void) {
    this.#queues = step.args.map((arg) => ('value' in arg ? [] : undefined))
    this.#constants = step.args.map((arg) => ('constant' in arg ? arg.constant : undefined))
    this.#hasOneValue = step.args.filter((arg) => 'value' in arg).length === 1
    this.#action = action
    this.#done = done
  }

  /** Whether it waits for something other than values. */
  get isBusy(): boolean {
    return this.#isBusy
  }

  /** A value has come for an argument. */
  offer(argument: number, value: unknown): void {
    const queue = this.#queues[argument]!
    if (this.#hasOneValue && !this.#isBusy && queue.length === 0 && this.#enters()) {
      const args = this.#constants.slice()
      args[argument] = value
      this.#run(args)
      return
    }
    queue.push(value)
    if (!this.#isBusy) this.#advance()
  }

  /** Takes a turn of the actor if one is free. */
  #enters(): boolean {
    const { semaphore } = this.#action
    return !semaphore || semaphore.tryEnter()
  }

  #isReady(): boolean {
    for (const queue of this.#queues) if (queue?.length === 0) return false
    return true
  }

  #advance(): void {
    while (!this.#isBusy && this.#isReady()) {
      if (this.#enters()) {
        this.#run(this.#nextArgs())
        continue
      }
      this.#isBusy = true
      void this.#action.semaphore!.enter().then(() => {
        this.#isBusy = false
        this.#run(this.#nextArgs())
        this.#advance()
      })
    }
  }

  #nextArgs(): unknown[] {
    return this.#queues.map((queue, index) => (queue ? queue.shift() : this.#constants[index]))
  }

  #run(args: readonly unknown[]): void {
    const { run, takesFailures } = this.#action
    const start = performance.now()
    if (!takesFailures) {
      for (const arg of args) {
        if (!(arg instanceof Failed)) continue
        this.#finish(arg, start)
        return
      }
    }
    let result: unknown
    try {
      result = run(...args)
    } catch (error) {
      result = new Failed(error)
    }
    if (typeof (result as PromiseLike<unknown> | undefined)?.then !== 'function') {
      this.#finish(result, start)
      return
    }
    this.#isBusy = true
    const settle = (outcome: unknown) => {
      this.#isBusy = false
      this.#finish(outcome, start)
      this.#advance()
    }
    ;(result as PromiseLike<unknown>).then(settle, (error) => settle(new Failed(error)))
  }

  #finish(result: unknown, start: number): void {
    this.#action.semaphore?.leave()
    this.#done(result, start)
  }
}
