import { debuglog } from 'node:util'
import type { LinkLostError } from '../transport/link.js'
import type { Answer, Peer } from '../transport/peer.js'
import { STREAM_WINDOW } from '../transport/wire.js'
import { InvalidInputError } from './errors.js'
import { addOrigin } from './origin.js'
import { ObjectRef } from './ref.js'

const debug = debuglog('troupe')

/** One call of an actor's method, from the caller's side: settles the ref, or feeds whoever iterates it. */
export class Call implements Answer {
  readonly ref: ObjectRef<unknown>
  #resolve!: (value: unknown) => void
  #reject!: (error: unknown) => void
  #sent: { peer: Peer; request: number } | undefined
  #outcome: 'pending' | 'value' | 'stream' | 'ended' | 'failed' | 'abandoned' = 'pending'
  #error: unknown
  readonly #items: unknown[] = []
  #taken = 0
  #waiting: (() => void) | undefined

  /**
   * @param label what the call is in messages: `Counter#1.add`
   * @param origin carries the caller's stack
   * @param explainLoss turns the loss of the connection into the error that the caller gets
   */
  constructor(
    id: string,
    private readonly label: string,
    private readonly origin: Error,
    private readonly explainLoss: (lost: LinkLostError) => Promise<Error>,
  ) {
    this.ref = new ObjectRef<unknown>(
      (resolve, reject) => {
        this.#resolve = resolve
        this.#reject = reject
      },
      id,
      () => this.iterate(),
    )
    this.ref.catch((error) => debug('%s failed: %s', label, error))
  }

  /** Called when the request has left, with its number on that connection. */
  sent(peer: Peer, request: number): void {
    this.#sent = { peer, request }
    if (this.#outcome === 'abandoned') peer.cancel(request)
  }

  result(value: unknown): void {
    this.#outcome = 'value'
    this.#resolve(value)
    this.#waiting?.()
  }

  failure(error: unknown): void {
    if (error instanceof Error) addOrigin(error, this.label, this.origin)
    this.#fail(error)
  }

  item(value: unknown): void {
    this.#stream('stream')
    this.#items.push(value)
    this.#waiting?.()
  }

  end(): void {
    this.#stream('ended')
    this.#waiting?.()
  }

  lost(error: LinkLostError): void {
    void this.explainLoss(error).then((reason) => this.failure(reason))
  }

  #fail(error: unknown): void {
    if (this.#outcome === 'abandoned') return
    this.#outcome = 'failed'
    this.#error = error
    this.#reject(error)
    this.#waiting?.()
  }

  #stream(outcome: 'stream' | 'ended'): void {
    if (this.#outcome === 'pending') {
      this.#reject(new InvalidInputError(`${this.label} returns a stream: read it with for await, do not await it`))
    }
    if (this.#outcome !== 'abandoned') this.#outcome = outcome
  }

  /** The items of a stream; each can be read once. */
  iterate(): AsyncIterator<unknown> {
    return {
      next: async () => {
        while (this.#items.length === 0) {
          if (this.#outcome === 'failed') throw this.#error
          if (this.#outcome === 'ended' || this.#outcome === 'abandoned') return { done: true, value: undefined }
          if (this.#outcome === 'value') {
            throw new InvalidInputError(`${this.label} returns one value, not a stream: await it`)
          }
          await new Promise<void>((resolve) => {
            this.#waiting = resolve
          })
        }
        const value = this.#items.shift()
        this.#acknowledge()
        return { done: false, value }
      },
      return: async () => {
        this.#abandon()
        return { done: true, value: undefined }
      },
    }
  }

  /** Credit is given back in halves of the window, so that the producer does not wait and few messages are sent. */
  #acknowledge(): void {
    this.#taken += 1
    if (this.#taken < STREAM_WINDOW / 2 || this.#outcome !== 'stream' || !this.#sent) return
    this.#sent.peer.credit(this.#sent.request, this.#taken)
    this.#taken = 0
  }

  #abandon(): void {
    const isRunning = this.#outcome === 'pending' || this.#outcome === 'stream'
    this.#items.length = 0
    if (!isRunning) return
    this.#outcome = 'abandoned'
    if (this.#sent) this.#sent.peer.cancel(this.#sent.request)
  }
}
