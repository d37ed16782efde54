import { type Encoded, encode } from './codec.js'
import type { Peer } from './peer.js'
import { envelopes, STREAM_WINDOW } from './wire.js'

/** A request of another process, while it is being served. Only the first final answer is sent. */
export class IncomingCall {
  args: unknown[] = []
  /** Whether arguments may have to be fetched from where they live. */
  mayLack = false
  #credit = STREAM_WINDOW
  #settled = false
  #cancelled = false
  #wake: (() => void) | undefined
  #controller: AbortController | undefined

  constructor(
    readonly peer: Peer,
    readonly number: number,
    readonly target: string,
    readonly method: string,
  ) {}

  /** Whether nobody waits for an answer any more. */
  get isCancelled(): boolean {
    return this.#cancelled
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

  reply(value: unknown, subject = `the result of ${this.method}`): void {
    this.#settle(envelopes.result, value, subject)
  }

  /** Answers with what {@link encode} made for the node of the caller. */
  send(encoded: Encoded): void {
    if (this.#settled || this.#cancelled || this.number === 0) {
      for (const release of encoded.pins) release()
      return
    }
    this.#settled = true
    this.peer.respond(envelopes.result, this.number, encoded)
  }

  fail(error: unknown): void {
    try {
      this.#settle(envelopes.failure, error, `what ${this.method} threw`)
    } catch (unsendable) {
      this.#settle(envelopes.failure, unsendable, `what ${this.method} threw`)
    }
  }

  /** Sends an item of a stream, and takes one credit. */
  item(value: unknown, subject = `an item of ${this.method}`): void {
    if (this.#cancelled) return
    const encoded = encode(value, subject, this.peer.sameNode)
    this.#credit -= 1
    this.peer.respond(envelopes.item, this.number, encoded)
  }

  end(): void {
    if (this.#settled || this.#cancelled) return
    this.#settled = true
    this.peer.respond(envelopes.end, this.number)
  }

  /** Resolves when there is credit, or nobody waits any more. */
  async credited(): Promise<void> {
    while (this.#credit <= 0 && !this.#cancelled) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  grant(items: number): void {
    this.#credit += items
    this.#wake?.()
  }

  cancel(): void {
    this.#cancelled = true
    this.#controller?.abort()
    this.#wake?.()
  }

  #settle(kind: number, value: unknown, subject: string): void {
    if (this.#settled || this.#cancelled || this.number === 0) return
    const encoded = encode(value, subject, this.peer.sameNode)
    this.#settled = true
    this.peer.respond(kind, this.number, encoded)
  }
}
