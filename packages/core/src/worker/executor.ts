import { InvalidInputError } from '../api/errors.js'
import { hooks } from '../api/hooks.js'
import type { Concurrency } from '../cluster/protocol.js'
import { within } from '../runtime/current-call.js'
import type { IncomingCall } from '../transport/incoming-call.js'
import { Lane } from './lane.js'

type Method = (...args: unknown[]) => unknown

/** Runs the calls of one actor, in the order they come in and as many at a time as its concurrency allows. */
export class Executor {
  #instance: Record<string, unknown> | undefined
  #constructed!: () => void
  readonly #untilConstructed = new Promise<void>((resolve) => {
    this.#constructed = resolve
  })
  readonly #lane: Lane
  readonly #groups: { readonly methods: ReadonlySet<string>; readonly lane: Lane }[]
  readonly #name: string

  constructor(name: string, { limit, groups }: Concurrency) {
    this.#name = name
    this.#lane = new Lane(limit)
    this.#groups = groups.map(({ limit, methods }) => ({ methods: new Set(methods), lane: new Lane(limit) }))
  }

  /** Runs the constructor and `onStart`, before any call; after a death also `onRestart`. */
  async construct(
    load: () => Promise<new (...args: unknown[]) => object>,
    args: unknown[],
    restart?: { readonly restarts: number; readonly reason: string },
  ): Promise<void> {
    const ActorClass = await load()
    const instance = new ActorClass(...args) as Record<string, unknown>
    await hookOf(instance, 'onStart')?.()
    if (restart) await hookOf(instance, 'onRestart')?.(restart)
    this.#instance = instance
    this.#constructed()
  }

  async run(call: IncomingCall): Promise<void> {
    const lane = this.#laneOf(call.method)
    const subject = `the result of ${this.#name}.${call.method}`
    let turn = await lane.acquire()
    try {
      if (!this.#instance) await this.#untilConstructed
      if (call.isCancelled) return
      const result = await within(call, () => this.#method(call.method)(...call.args))
      const iterator = iteratorOf(result)
      if (!iterator) {
        call.reply(result, subject)
        return
      }
      for (;;) {
        if (!call.hasCredit) {
          // A consumer that lags may itself be waiting for another call of this actor.
          turn()
          await call.credited()
          turn = await lane.acquire()
        }
        if (call.isCancelled) {
          await within(call, () => iterator.return?.())
          return
        }
        const { done, value } = await within(call, () => iterator.next())
        if (done) break
        call.item(value, subject.replace('the result', 'an item'))
      }
      call.end()
    } catch (error) {
      call.fail(error)
    } finally {
      turn()
    }
  }

  /** Resolves when all calls that have come in so far have run, and `onStop` after them. */
  async stop(): Promise<void> {
    await Promise.all([this.#lane, ...this.#groups.map(({ lane }) => lane)].map((lane) => lane.drained()))
    if (this.#instance) await hookOf(this.#instance, 'onStop')?.()
  }

  #laneOf(method: string): Lane {
    return this.#groups.find(({ methods }) => methods.has(method))?.lane ?? this.#lane
  }

  #method(name: string): Method {
    const isHidden = name === 'constructor' || name in Object.prototype || hooks.has(name)
    const method = isHidden ? undefined : this.#instance?.[name]
    if (typeof method !== 'function') throw new InvalidInputError(`${this.#name} has no method named ${name}`)
    return method.bind(this.#instance)
  }
}

function hookOf(instance: Record<string, unknown>, name: string): Method | undefined {
  const hook = instance[name]
  return typeof hook === 'function' ? hook.bind(instance) : undefined
}

type AnyIterator = { next(): unknown; return?(): unknown } & Record<symbol, unknown>

/** The iterator of what a generator method returned; undefined for other values. */
function iteratorOf(value: unknown): AsyncIterator<unknown> | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const candidate = value as AnyIterator
  const asynchronous = candidate[Symbol.asyncIterator]
  if (typeof asynchronous === 'function') return asynchronous.call(value)
  const isGenerator = typeof candidate.next === 'function' && typeof candidate[Symbol.iterator] === 'function'
  return isGenerator ? (value as AsyncIterator<unknown>) : undefined
}
