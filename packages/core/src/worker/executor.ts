import { InvalidInputError } from '../api/errors.js'
import type { IncomingCall } from '../transport/incoming-call.js'

type Method = (...args: unknown[]) => unknown

/** Runs the calls of one actor: one at a time, in the order they come in. */
export class Executor {
  #instance: Record<string, unknown> | undefined
  #last: Promise<void> = Promise.resolve()
  readonly #name: string

  constructor(name: string) {
    this.#name = name
  }

  /** Runs the constructor, as the first call. */
  async construct(load: () => Promise<new (...args: unknown[]) => object>, args: unknown[]): Promise<void> {
    const turn = await this.#acquire()
    try {
      const ActorClass = await load()
      this.#instance = new ActorClass(...args) as Record<string, unknown>
    } finally {
      turn()
    }
  }

  async run(call: IncomingCall): Promise<void> {
    const subject = `the result of ${this.#name}.${call.method}`
    let turn = await this.#acquire()
    try {
      if (call.isCancelled) return
      const result = await this.#method(call.method)(...call.args)
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
          turn = await this.#acquire()
        }
        if (call.isCancelled) {
          await iterator.return?.()
          return
        }
        const { done, value } = await iterator.next()
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

  /** Resolves when all calls that have come in so far have run. */
  async drained(): Promise<void> {
    const turn = await this.#acquire()
    turn()
  }

  /** Waits for the calls before; the returned function lets the next one run. */
  async #acquire(): Promise<() => void> {
    const before = this.#last
    let release!: () => void
    this.#last = new Promise((resolve) => {
      release = resolve
    })
    await before
    return release
  }

  #method(name: string): Method {
    const method = name === 'constructor' || name in Object.prototype ? undefined : this.#instance?.[name]
    if (typeof method !== 'function') throw new InvalidInputError(`${this.#name} has no method named ${name}`)
    return method.bind(this.#instance)
  }
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
