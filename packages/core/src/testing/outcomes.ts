import { actor, currentActor, type Handle, remote } from '@troupe/core'
import { hostileValue, seeded } from './random-values.js'

export class PaymentError extends Error {
  constructor(
    message: string,
    readonly amount: number,
  ) {
    super(message)
  }
}

export class NamedError extends PaymentError {
  override readonly name = 'FundsError'

  constructor(message: string, options: ErrorOptions) {
    super(message, 0)
    Object.defineProperty(this, 'cause', { value: options.cause })
  }
}

/** An actor whose calls end in every odd way. */
export class Oddity {
  open = 0

  /** A list of so many levels. */
  nested(levels: number): unknown {
    let list: unknown = null
    for (let level = 0; level < levels; level++) list = { level, next: list }
    return list
  }

  text(length: number): string {
    return 'é'.repeat(length)
  }

  echo<T>(value: T): T {
    return value
  }

  throwWithOddCause(): never {
    throw new Error('card declined', { cause: Object.assign(Object.create(null), { retry() {} }) })
  }

  throwWithGetter(): never {
    const get = () => {
      throw new Error('stream used already')
    }
    const error = Object.defineProperty(new RangeError('card declined'), 'body', { enumerable: true, get })
    throw Object.defineProperty(error, 'stack', { get })
  }

  throwChain(length: number): never {
    let error = new Error('card declined')
    for (let attempt = 0; attempt < length; attempt++) error = new Error(`attempt ${attempt}`, { cause: error })
    throw error
  }

  throwCircle(): never {
    const error = new Error('card declined')
    error.cause = error
    throw error
  }

  pay(amount: number): never {
    throw new PaymentError('declined', amount)
  }

  /** An error whose cause and field are of classes of programs, of the runtime's own and of JavaScript. */
  throwWithParts(): never {
    const cause = new NamedError('no funds', { cause: new DOMException('aborted', 'AbortError') })
    throw Object.assign(
      new AggregateError([new PaymentError('declined', 1), new TypeError('odd')], 'both', { cause }),
      {
        reason: Object.assign(new TypeError('renamed'), { name: 'OddError' }),
      },
    )
  }

  /** A class that nobody else has. */
  throwOther(): never {
    class PaymentError extends Error {}
    throw Object.assign(new PaymentError('another class of the name'), { code: 7 })
  }

  async *payOften(): AsyncGenerator<number> {
    yield 1
    throw new PaymentError('declined', 2)
  }

  throwUnregistered(): never {
    throw Object.assign(new (class LocalError extends Error {})('odd'), { code: 7 })
  }

  throwNoError(): never {
    throw { message: 'card declined', retry() {} }
  }

  async *count(limit: number): AsyncGenerator<number> {
    for (let index = 1; index <= limit; index++) {
      await new Promise((resolve) => setImmediate(resolve))
      yield index
    }
  }

  /** Yields one value, and then one of a random or an unsendable kind. */
  async *rows(kind: 'function' | 'deep' | 'throws'): AsyncGenerator<unknown> {
    this.open += 1
    try {
      yield 1
      if (kind === 'throws') throw new RangeError('no second')
      yield kind === 'deep' ? this.nested(5000) : () => 2
    } finally {
      this.open -= 1
    }
  }

  opened(): number {
    return this.open
  }

  give(seed: number): unknown {
    return hostileValue(seeded(seed))
  }

  throwIt(seed: number): never {
    throw hostileValue(seeded(seed))
  }

  throwWith(seed: number): never {
    throw Object.assign(new Error('its own message', { cause: hostileValue(seeded(seed)) }), {
      extra: hostileValue(seeded(seed + 1)),
    })
  }

  async *yieldIt(seed: number): AsyncGenerator<unknown> {
    this.open += 1
    try {
      yield hostileValue(seeded(seed))
    } finally {
      this.open -= 1
    }
  }
}
export const RemoteOddity = actor(import.meta.url, Oddity)

/** What a player calls of another one. */
interface Called {
  set(other: Handle<Called>): void
  ping(times: number): Promise<string>
  answer(text: string): Promise<void>
  hear(text: string): void
  never(): Promise<void>
  relay(text: string): Promise<void>
  pings(): AsyncGenerator<string>
}

/** An actor that calls others, which may call it. */
export class Player {
  #other: Handle<Called> | undefined
  readonly heard: string[] = []

  set(other: Handle<Called>): void {
    this.#other = other
  }

  async ping(times: number): Promise<string> {
    return times === 0 ? 'end' : await this.#other!.ping(times - 1)
  }

  /** Has the other one call back, and does not wait for that. */
  tell(text: string): void {
    void this.#other!.answer(text)
  }

  async answer(text: string): Promise<void> {
    await this.#other!.hear(text)
  }

  hear(text: string): void {
    this.heard.push(text)
  }

  /** Has another one call back, by this one's own handle. */
  async introduce(other: Handle<Called>): Promise<void> {
    await other.set(currentActor<Player>()!.handle)
    void other.relay('hello')
  }

  all(): string[] {
    return this.heard
  }

  async never(): Promise<void> {
    await new Promise(() => {})
  }

  /** Has the other one ping back once both have begun. */
  async pingLater(barrier: string[]): Promise<string> {
    await new Promise((resolve) => setTimeout(resolve, barrier.length))
    return await this.#other!.ping(0)
  }

  /** Pings through a task. */
  async pingByTask(): Promise<string> {
    return await remotePing(this.#other!)
  }

  /** Reads a stream of the other one, which has to call back for each item. */
  async readAll(): Promise<string[]> {
    const items: string[] = []
    for await (const item of this.#other!.pings()) items.push(item)
    return items
  }

  async *pings(): AsyncGenerator<string> {
    yield await this.#other!.ping(0)
  }

  /** Pings back without waiting for that, by every way that is no await, and then takes its time. */
  async takeTime(milliseconds: number): Promise<string> {
    const other = this.#other!
    void other.relay('void')
    other.relay('then').then(
      () => {},
      () => {},
    )
    other.relay('catch').catch(() => {})
    await new Promise((resolve) => setTimeout(resolve, milliseconds))
    return 'done'
  }

  async relay(text: string): Promise<void> {
    await this.#other!.hear(text)
  }

  async waitForNever(): Promise<void> {
    await this.#other!.never()
  }
}
export const RemotePlayer = actor(import.meta.url, Player)

export function payByTask(): never {
  throw new PaymentError('declined', 4)
}
export const remotePayByTask = remote(import.meta.url, payByTask)

export async function ping(player: Handle<Called>): Promise<string> {
  return await player.ping(0)
}
export const remotePing = remote(import.meta.url, ping)

export function page(): never {
  throw new Error('socket hang up')
}
export const remotePage = remote(import.meta.url, page, {
  retryExceptions: (error) => (error as { status: number }).status.toString().startsWith('5'),
})
