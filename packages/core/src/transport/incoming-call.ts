import { AsyncLocalStorage } from 'node:async_hooks'
import { Deferred } from '../common/deferred.js'
import { describe } from '../common/describe.js'
import { TroupeError } from '../common/errors.js'
import { type Encoded, encode } from './codec.js'
import type { Peer } from './peer.js'
import { envelopes, STREAM_WINDOW } from './wire.js'

/** A call that was made while another one ran, by its code. */
export interface NestedCall {
  /** Whether something waits for the outcome. */
  readonly isAwaited: boolean
  /** The connection it was sent on, and its number there, unless it is still to be sent. */
  readonly sentTo: { readonly peer: Peer; readonly request: number } | undefined
  cancel(): void
}

const running = new AsyncLocalStorage<IncomingCall>()

/** A request of another process, while it is being served. Only the first final answer is sent. */
export class IncomingCall {
  args: unknown[] = []
  /** Whether arguments may have to be fetched from where they live. */
  mayLack = false
  /** The calls that its code has made and that have no outcome yet. */
  readonly nested = new Set<NestedCall>()
  #credit = STREAM_WINDOW
  #settled = false
  #cancelled = false
  /** Settled when there is credit again, or nobody waits any more. */
  #news: Deferred | undefined
  #controller: AbortController | undefined

  constructor(
    readonly peer: Peer,
    readonly number: number,
    readonly target: string,
    readonly method: string,
  ) {}

  /** The request that the code asking serves; undefined outside of one. */
  static get running(): IncomingCall | undefined {
    return running.getStore()
  }

  /** Runs a function as part of this call. */
  run<T>(code: () => T): T {
    return running.run(this, code)
  }

  /** Whether nobody waits for an answer any more. */
  get isCancelled(): boolean {
    return this.#cancelled
  }

  /** Whether it has been answered, or nobody waits for that. */
  get isSettled(): boolean {
    return this.#settled || this.#cancelled
  }

  /** Aborted when nobody waits for an answer any more. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#cancelled) this.#controller.abort()
    return this.#controller.signal
  }

  /** Whether a stream may send an item. */
  get hasCredit(): boolean {
    return this.#credit > 0
  }

  /** @throws InvalidInputError if the value cannot be sent; the call can still fail */
  reply(value: unknown, subject = `the result of ${this.method}`): void {
    this.#settle(envelopes.result, value, subject)
  }

  /** Answers with what {@link encode} made for the node of the caller. */
  send(encoded: Encoded): void {
    if (this.#settled || this.#cancelled || this.number === 0) {
      for (const release of encoded.pins) release()
      return
    }
    this.peer.respond(envelopes.result, this.number, encoded)
    this.#settled = true
  }

  /** Answers with what was thrown, or where that cannot be sent, with what it says. */
  fail(error: unknown): void {
    const subject = `what ${this.method} threw`
    try {
      this.#settle(envelopes.failure, error, subject)
    } catch (unsendable) {
      const text = `${subject} cannot be sent: ${describe(error)}; ${describe(unsendable)}`
      this.#settle(envelopes.failure, new TroupeError(text), subject)
    }
  }

  /** Sends an item of a stream, and takes one credit. */
  item(value: unknown, subject = `an item of ${this.method}`): void {
    if (this.#cancelled) return
    this.peer.respond(envelopes.item, this.number, encode(value, subject, this.peer.sameNode))
    this.#credit -= 1
  }

  end(): void {
    if (this.#settled || this.#cancelled) return
    this.#settled = true
    this.peer.respond(envelopes.end, this.number)
  }

  /** Resolves when there is credit, or nobody waits any more. */
  async credited(): Promise<void> {
    while (this.#credit <= 0 && !this.#cancelled) {
      this.#news = new Deferred()
      await this.#news.promise
    }
  }

  grant(items: number): void {
    this.#credit += items
    this.#news?.resolve()
  }

  /** The caller has given the call up: so are the calls whose outcome it waits for. */
  giveUp(): void {
    this.cancel()
    for (const call of [...this.nested]) if (call.isAwaited) call.cancel()
  }

  cancel(): void {
    this.#cancelled = true
    this.#controller?.abort()
    this.#news?.resolve()
  }

  #settle(kind: number, value: unknown, subject: string): void {
    if (this.#settled || this.#cancelled || this.number === 0) return
    this.peer.respond(kind, this.number, encode(value, subject, this.peer.sameNode))
    this.#settled = true
  }
}
