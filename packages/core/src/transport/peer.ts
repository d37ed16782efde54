import { debuglog } from 'node:util'
import { decode, type Encoded, encode } from './codec.js'
import { IncomingCall } from './incoming-call.js'
import type { Link, LinkEvents, LinkLostError, PeerIdentity } from './link.js'
import { type AttachmentQueue, type Envelope, envelopes, type Payload, pack, snapshot, split } from './wire.js'

const debug = debuglog('troupe')

/**
 * Calls of actors and tasks that may be unanswered on one connection; further ones wait in the caller. What processes of the
 * cluster ask each other besides never waits for them: a call may end only when such a request is answered.
 */
const MAX_IN_FLIGHT = 1024

/** What becomes of a request. `result`, `failure`, `end` and `lost` are final, and only one of them is called. */
export interface Answer {
  result(value: unknown): void
  failure(error: unknown): void
  item(value: unknown): void
  end(): void
  lost(error: LinkLostError): void
}

/** A request as it leaves: who and what is called, and the arguments. */
export interface Request {
  /** An actor or tasks; empty for what the process itself serves. */
  readonly target: string
  readonly method: string
  readonly args: Encoded
  /** Values of arguments that were left open in `args`, by their index. */
  readonly late?: [index: number, value: Encoded][] | undefined
}

/** Who serves the requests that come in on a connection. */
export interface PeerHandler {
  /** What must have happened before the arguments of a request can be decoded, if anything. */
  prepare?(target: string, method: string): Promise<unknown> | undefined
  call(call: IncomingCall): void
  /** Whether the other end may ask for something while this process awaits nothing; never by default. */
  mayBeAsked?(): boolean
  lost?(error: LinkLostError): void
}

/** A payload with its attachments, before it is decoded. */
interface Received {
  readonly tree: unknown
  readonly marked: boolean
  readonly attachments: Uint8Array[]
  readonly pin: number
}

/**
 * Requests, answers and streams between this process and one other, in both directions over one link.
 * Every request is answered, or fails when the link is lost.
 */
export class Peer implements LinkEvents {
  link!: Link
  readonly #handler: PeerHandler
  readonly #answers = new Map<number, Answer>()
  readonly #queued = new Map<number, Request>()
  /** The unanswered requests to the process itself. */
  readonly #control = new Set<number>()
  readonly #serving = new Map<number, IncomingCall>()
  readonly #pins = new Map<number, (() => void)[]>()
  #released: number[] = []
  #requests = 0
  #pinCount = 0
  #lost: LinkLostError | undefined

  /**
   * @param self this process; whether the other end is on its node decides how tensors travel
   * @param awaiting called when something begins to be awaited on this connection
   */
  constructor(
    private readonly self: PeerIdentity,
    public identity: PeerIdentity,
    handler: PeerHandler,
    private readonly awaiting: () => void = () => {},
  ) {
    this.#handler = handler
  }

  get sameNode(): boolean {
    return this.self.nodeId === this.identity.nodeId
  }

  get isLost(): boolean {
    return this.#lost !== undefined
  }

  /** Whether nothing is awaited from the other end. */
  get isIdle(): boolean {
    return this.#answers.size === 0 && this.#pins.size === 0
  }

  /** Sends a request, after those before it. Returns its number, for {@link credit} and {@link cancel}. */
  request(request: Request, answer: Answer): number {
    const number = ++this.#requests
    if (this.#lost) {
      releaseAll(request)
      answer.lost(this.#lost)
      return number
    }
    this.awaiting()
    const mustWait = request.target !== '' && this.#callsInFlight >= MAX_IN_FLIGHT
    this.#answers.set(number, answer)
    if (request.target === '') this.#control.add(number)
    if (mustWait) this.#queued.set(number, snapshotOf(request))
    else this.#dispatch(number, request)
    return number
  }

  /** Sends a message that is not answered. */
  notify(method: string, ...args: unknown[]): void {
    if (this.#lost) return
    this.#dispatch(0, { target: '', method, args: encode(args, 'arguments', this.sameNode) })
  }

  /** Allows the producer of a stream that many items more. */
  credit(request: number, items: number): void {
    this.#post([envelopes.credit, request, items])
  }

  /** Drops a request: a queued one is never sent, a stream is told to stop, and no answer will come any more. */
  cancel(request: number): void {
    if (!this.#answers.delete(request)) return
    this.#control.delete(request)
    const queued = this.#queued.get(request)
    this.#queued.delete(request)
    if (queued) releaseAll(queued)
    else this.#post([envelopes.cancel, request])
    this.#advance()
  }

  /** Sends a payload that belongs to a request of the other end. */
  respond(kind: number, request: number, encoded?: Encoded): void {
    if (kind !== envelopes.item) this.#serving.delete(request)
    if (this.#lost) {
      for (const release of encoded?.pins ?? []) release()
      return
    }
    if (!encoded) this.#post([kind, request])
    else this.#post([kind, request, this.#payload(encoded)], encoded.attachments)
  }

  /** Takes the connection as lost, for a process that is known to have died. */
  disconnect(error: LinkLostError): void {
    this.link.close()
    this.lost(error)
  }

  opened(peer: PeerIdentity): void {
    this.identity = peer
  }

  received(frames: Uint8Array[]): void {
    try {
      for (const { envelope, attachments } of split(frames)) this.#take(envelope, attachments)
    } catch (error) {
      debug('a message from process %s was dropped: %s', this.identity.processId, error)
    }
  }

  lost(error: LinkLostError): void {
    if (this.#lost) return
    this.#lost = error
    for (const request of this.#queued.values()) releaseAll(request)
    this.#queued.clear()
    for (const releases of this.#pins.values()) for (const release of releases) release()
    this.#pins.clear()
    for (const call of this.#serving.values()) call.cancel()
    this.#serving.clear()
    const answers = [...this.#answers.values()]
    this.#answers.clear()
    this.#control.clear()
    for (const answer of answers) answer.lost(error)
    this.#handler.lost?.(error)
  }

  #take(envelope: Envelope, attachments: AttachmentQueue): void {
    const [kind, request, first] = envelope
    switch (kind) {
      case envelopes.request:
        this.#serve(envelope, attachments)
        break
      case envelopes.result:
      case envelopes.failure:
      case envelopes.item:
      case envelopes.end:
        this.#answered(kind, request, first as Payload, attachments)
        break
      case envelopes.credit:
        this.#serving.get(request)?.grant(Number(first))
        break
      case envelopes.cancel:
        this.#serving.get(request)?.cancel()
        this.#serving.delete(request)
        break
      case envelopes.release:
        for (const pin of first as number[]) {
          for (const release of this.#pins.get(pin) ?? []) release()
          this.#pins.delete(pin)
        }
        break
      default:
        throw new TypeError(`an envelope of unknown kind ${kind}`)
    }
  }

  #serve([, request, ...parts]: Envelope, attachments: AttachmentQueue): void {
    const [target, method, payload, late] = parts as [string, string, Payload, [number, Payload][] | undefined]
    const call = new IncomingCall(this, request, String(target), String(method))
    if (request !== 0) this.#serving.set(request, call)
    const received = this.#receive(payload, attachments)
    const receivedLate = late?.map(([index, value]) => [index, this.#receive(value, attachments)] as const)
    const serve = () => {
      try {
        const args = this.#open(received)
        const lateValues = receivedLate?.map(([index, value]) => [index, this.#open(value)] as const)
        if (!Array.isArray(args)) throw new TypeError('a request without a list of arguments')
        for (const [index, value] of lateValues ?? []) args[index] = value
        call.args = args
        call.mayLack = late !== undefined
      } catch (error) {
        call.fail(error)
        return
      }
      this.#handler.call(call)
    }
    const prepared = this.#handler.prepare?.(call.target, call.method)
    if (prepared) void prepared.then(serve, serve)
    else serve()
  }

  #answered(kind: number, request: number, payload: Payload, attachments: AttachmentQueue): void {
    const received = kind === envelopes.end ? undefined : this.#receive(payload, attachments)
    const answer = this.#answers.get(request)
    if (kind !== envelopes.item && this.#answers.delete(request)) {
      this.#control.delete(request)
      this.#advance()
    }
    if (!answer) {
      if (received) this.#letGo(received)
      return
    }
    let value: unknown
    try {
      if (received) value = this.#open(received)
    } catch (error) {
      answer.failure(error)
      return
    }
    if (kind === envelopes.result) answer.result(value)
    else if (kind === envelopes.failure) answer.failure(value)
    else if (kind === envelopes.item) answer.item(value)
    else answer.end()
  }

  #receive([tree, marked, count, pin]: Payload, queue: AttachmentQueue): Received {
    return { tree, marked, attachments: queue.take(count), pin }
  }

  /** Decodes a payload, and lets it go. */
  #open(received: Received): unknown {
    if (!received.marked) return received.tree
    const kept: Promise<unknown>[] = []
    try {
      return decode(received.tree, true, received.attachments, this.sameNode, (until) => kept.push(until))
    } finally {
      if (kept.length === 0) this.#letGo(received)
      else void Promise.allSettled(kept).then(() => this.#letGo(received))
    }
  }

  #letGo({ pin }: Received): void {
    if (pin === 0) return
    if (this.#released.push(pin) === 1) queueMicrotask(() => this.#sendReleased())
  }

  #sendReleased(): void {
    this.#post([envelopes.release, 0, this.#released])
    this.#released = []
  }

  get #callsInFlight(): number {
    return this.#answers.size - this.#queued.size - this.#control.size
  }

  #advance(): void {
    for (const [number, request] of this.#queued) {
      if (this.#callsInFlight >= MAX_IN_FLIGHT) return
      this.#queued.delete(number)
      this.#dispatch(number, request)
    }
  }

  #dispatch(number: number, { target, method, args, late }: Request): void {
    const parts: unknown[] = [target, method, this.#payload(args)]
    const attachments = [...args.attachments]
    if (late) {
      parts.push(late.map(([index, value]) => [index, this.#payload(value)]))
      for (const [, value] of late) attachments.push(...value.attachments)
    }
    this.#post([envelopes.request, number, ...parts], attachments)
  }

  #payload({ tree, marked, attachments, pins }: Encoded): Payload {
    if (pins.length === 0) return [tree, marked, attachments.length, 0]
    const pin = ++this.#pinCount
    this.#pins.set(pin, pins)
    return [tree, marked, attachments.length, pin]
  }

  #post(envelope: Envelope, attachments: Uint8Array[] = []): void {
    if (!this.#lost) this.link.post(pack(envelope, attachments))
  }
}

function snapshotOf(request: Request): Request {
  const { args, late } = request
  return { ...request, args: snapshot(args), late: late?.map(([index, value]) => [index, snapshot(value)]) }
}

function releaseAll({ args, late }: Request): void {
  for (const encoded of [args, ...(late ?? []).map(([, value]) => value)]) {
    for (const release of encoded.pins) release()
  }
}
