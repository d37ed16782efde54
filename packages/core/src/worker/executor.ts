import { Deferred } from '../common/deferred.js'
import { InvalidInputError } from '../common/errors.js'
import { type ActorFailure, type Decision, hooks } from '../common/hooks.js'
import type { Method } from '../common/method.js'
import { LATE, within } from '../common/timer.js'
import { type Concurrency, STOP_TIMEOUT } from '../protocol/actor.js'
import { Semaphore } from '../runtime/semaphore.js'
import type { IncomingCall } from '../transport/incoming-call.js'
import { DeadlockWatch } from './deadlock-watch.js'
import { runCall } from './run-call.js'

/** The semaphore that some methods take their turns in. */
interface Place {
  readonly semaphore: Semaphore
  readonly watch: DeadlockWatch
}

function placeOf(name: string, limit: number): Place {
  const semaphore = new Semaphore(limit)
  return { semaphore, watch: new DeadlockWatch(name, semaphore) }
}

/** Runs the calls of one actor, in the order they come in and as many at a time as its concurrency allows. */
export class Executor {
  #instance: Record<string, unknown> | undefined
  #finishing: Promise<void> | undefined
  readonly #constructed = new Deferred()
  /** Decides about the actors that this one spawned, if it does. */
  supervise: ((failure: ActorFailure) => Decision | Promise<Decision>) | undefined
  /** The place where methods of no group take their turns. */
  readonly #rest: Place
  readonly #groups: readonly (Place & { readonly methods: ReadonlySet<string> })[]
  readonly #name: string

  constructor(name: string, { limit, groups }: Concurrency) {
    this.#name = name
    this.#rest = placeOf(name, limit)
    this.#groups = groups.map(({ limit, methods }) => ({ methods: new Set(methods), ...placeOf(name, limit) }))
  }

  /** Runs the constructor and `onStart`, before any call; after a death also `onRestart`. */
  async construct(
    load: () => Promise<new (...args: unknown[]) => object>,
    args: unknown[],
    restart?: { readonly restarts: number; readonly reason: string },
  ): Promise<void> {
    const ActorClass = await load()
    const instance = new ActorClass(...args) as Record<string, unknown>
    this.supervise = hookOf(instance, 'supervise') as typeof this.supervise
    await hookOf(instance, 'onStart')?.()
    if (restart) await hookOf(instance, 'onRestart')?.(restart)
    this.#instance = instance
    this.#constructed.resolve()
  }

  run(call: IncomingCall): void {
    const subject = `the result of ${this.#name}.${call.method}`
    const { semaphore, watch } = this.#placeOf(call.method)
    const run = () => (this.#instance ? this.#invoke(call) : this.#constructed.promise.then(() => this.#invoke(call)))
    void runCall({ call, subject, run, watch }, semaphore)
  }

  /** Resolves when all calls that have come in so far have run. */
  async drained(): Promise<void> {
    await Promise.all([this.#rest, ...this.#groups].map(({ semaphore }) => semaphore.drained()))
  }

  /** Whether the actor is to be told before it ends. */
  get mustFinish(): boolean {
    return this.#instance !== undefined && hookOf(this.#instance, 'onStop') !== undefined
  }

  /** Runs `onStop`, once, and says what goes wrong with it. Resolves when it has run, or has taken too long. */
  finish(): Promise<void> {
    this.#finishing ??= this.#finish()
    return this.#finishing
  }

  async #finish(): Promise<void> {
    if (!this.#instance) return
    const stop = hookOf(this.#instance, 'onStop')
    if (!stop) return
    try {
      const outcome = await within((async () => stop())(), STOP_TIMEOUT)
      if (outcome !== LATE) return
      console.error(new Error(`onStop of ${this.#name} has not ended within ${STOP_TIMEOUT / 1000} s, and is given up`))
    } catch (error) {
      console.error(error)
    }
  }

  /**
   * Binds a method for a graph: its function, and the semaphore whose turns it takes like any call.
   *
   * @throws InvalidInputError if the actor has no such method
   */
  bind(method: string): { readonly run: Method; readonly semaphore: Semaphore } {
    return { run: this.#method(method).bind(this.#instance), semaphore: this.#placeOf(method).semaphore }
  }

  #placeOf(method: string): Place {
    return this.#groups.find(({ methods }) => methods.has(method)) ?? this.#rest
  }

  #invoke({ method, args }: IncomingCall): unknown {
    return this.#method(method).apply(this.#instance, args)
  }

  #method(name: string): Method {
    const isHidden = name === 'constructor' || name in Object.prototype || hooks.has(name)
    const method = isHidden ? undefined : this.#instance?.[name]
    if (typeof method !== 'function') throw new InvalidInputError(`${this.#name} has no method named ${name}`)
    return method as Method
  }
}

function hookOf(instance: Record<string, unknown>, name: string): Method | undefined {
  const hook = instance[name]
  return typeof hook === 'function' ? hook.bind(instance) : undefined
}
