import { debuglog } from 'node:util'
import { describe } from '../common/describe.js'
import { decode, type Encoded, encode } from './codec.js'
import type { AnswerHandler, OutgoingRequest, PeerHandler } from './handlers.js'
import { IncomingCall } from './incoming-call.js'
import type { KeepAliveGroup } from './keep-alive-group.js'
import { type Link, type LinkEvents, LinkLostError, type PeerIdentity } from './link.js'
import {
  EnvelopeReader,
  envelopes,
  firstSequence,
  listOf,
  type Packet,
  type Payload,
  pack,
  payloadOf,
  pinOf,
  type ReceivedEnvelope,
  type ReceivedPayload,
  received,
  seal,
  unpackable,
  unreadable,
} from './wire.js'

const debug = debuglog('troupe')

/**
 * Calls of actors and tasks that may be unanswered on one connection; further ones wait in the caller. Requests that
 * processes of the cluster make of each other besides never wait for them: a call may end only when such a request is
 * answered.
 */
const MAX_IN_FLIGHT = 1024

/** Arguments that were sent beside the others, by their index. */
type LatePayloads = (readonly [index: number, value: ReceivedPayload])[]

/**
 * Requests, answers and streams between this process and one other, in both directions over one link. Every request has
 * an outcome: what cannot be packed, unpacked or handled fails its own request, and all that are unanswered fail when the
 * link is lost or carries what is no envelope.
 */
export class Peer implements LinkEvents {
  link!: Link
  /** Serves what the other end asks for; set before anything comes in. */
  handler!: PeerHandler
  readonly #answers = new Map<number, AnswerHandler>()
  readonly #queued = new Map<number, Packet>()
  /** The unanswered requests to the process itself. */
  readonly #control = new Set<number>()
  readonly #serving = new Map<number, IncomingCall>()
  readonly #pins = new Map<number, (() => void)[]>()
  #released: number[] = []
  #requests = 0
  #pinCount = 0
  #lost: LinkLostError | undefined
  /** The numbers of the envelopes that leave and come next. */
  #sent: number
  #taken: number

  /**
   * @param self this process; whether the other end is on its node decides how tensors travel
   * @param keepAlive the group that must keep the process alive when something is sent, for a connection that need not by
   * itself
   */
  constructor(
    private readonly self: PeerIdentity,
    public identity: PeerIdentity,
    private readonly keepAlive?: KeepAliveGroup,
  ) {
    this.#sent = firstSequence(self.processId)
    this.#taken = firstSequence(identity.processId)
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

  /** Whether the other end gets all that was sent to it although this process ends at once. */
  get mayEnd(): boolean {
    return this.isLost || (this.link.hasLeft === true && this.#pins.size === 0)
  }

  /**
   * Sends a request, after those before it. Returns its number, for {@link credit} and {@link cancel}.
   *
   * @throws InvalidInputError if it cannot be packed; then there will be no answer
   */
  request(request: OutgoingRequest, answer: AnswerHandler): number {
    const number = ++this.#requests
    if (this.#lost) {
      releaseAll([request.args, ...(request.late ?? []).map(([, value]) => value)].flatMap(({ pins }) => pins))
      answer.lost(this.#lost)
      return number
    }
    const packet = this.#packRequest(number, request)
    this.#ref()
    const mustWait = request.target !== '' && this.#callsInFlight >= MAX_IN_FLIGHT
    this.#answers.set(number, answer)
    if (request.target === '') this.#control.add(number)
    if (mustWait) this.#queued.set(number, packet)
    else this.#post(packet)
    return number
  }

  /** Sends a message that is not answered. */
  notify(method: string, ...args: unknown[]): void {
    if (this.#lost) return
    this.#post(this.#packRequest(0, { target: '', method, args: encode(args, 'arguments', this.sameNode) }))
  }

  /** The request of the other end with a number, while it has not been answered. */
  serving(request: number): IncomingCall | undefined {
    return this.#serving.get(request)
  }

  /** Allows the producer of a stream that many items more. */
  credit(request: number, items: number): void {
    this.#send(envelopes.credit, request, items)
  }

  /** Drops a request: a queued one is never sent, a stream is told to stop, and no answer will come any more. */
  cancel(request: number): void {
    if (!this.#answers.delete(request)) return
    this.#control.delete(request)
    const queued = this.#queued.get(request)
    this.#queued.delete(request)
    if (queued) this.#unpin(pinOf(queued))
    else this.#send(envelopes.cancel, request)
    this.#advance()
  }

  /**
   * Sends a payload that belongs to a request of the other end.
   *
   * @throws InvalidInputError if it cannot be packed; then nothing was sent
   */
  respond(kind: number, request: number, encoded?: Encoded): void {
    if (this.#lost) {
      releaseAll(encoded?.pins ?? [])
      this.#serving.delete(request)
      return
    }
    if (encoded) this.#post(this.#pack(kind, request, payloadOf(encoded), [encoded]))
    else this.#send(kind, request)
    if (kind !== envelopes.item) this.#serving.delete(request)
  }

  /** Takes the connection as lost, for a process that is known to have died. */
  disconnect(error: LinkLostError): void {
    this.link.close()
    this.lost(error)
  }

  opened(peer: PeerIdentity): void {
    this.identity = peer
    this.#taken = firstSequence(peer.processId)
  }

  received(frames: Uint8Array[]): void {
    try {
      const reader = new EnvelopeReader(frames)
      for (let next = reader.next(this.#taken); next && !this.#lost; next = reader.next(this.#taken)) {
        this.#taken += 1
        this.#take(next)
      }
    } catch (error) {
      this.#broken(describe(error))
    }
  }

  lost(error: LinkLostError): void {
    if (this.#lost) return
    this.#lost = error
    this.#queued.clear()
    const pins = [...this.#pins.values()].flat()
    this.#pins.clear()
    releaseAll(pins)
    const serving = [...this.#serving.values()]
    this.#serving.clear()
    for (const call of serving) attempt(() => call.cancel())
    const answers = [...this.#answers.values()]
    this.#answers.clear()
    this.#control.clear()
    for (const answer of answers) attempt(() => answer.lost(error))
    this.handler.lost?.(error)
  }

  /** Ends the connection: no envelope has come in, so that nobody knows whose answer it was. The other end is told. */
  #broken(reason: string): void {
    if (this.#lost) return
    debug('what came from process %s cannot be read: %s', this.identity.processId, reason)
    this.#send(envelopes.broken, 0, reason)
    const text = `what came from process ${this.identity.processId} cannot be read: ${reason}`
    this.disconnect(new LinkLostError(text))
  }

  /** @throws Error if an envelope that belongs to no request cannot be read */
  #take(envelope: ReceivedEnvelope): void {
    const { kind, request } = envelope
    switch (kind) {
      case envelopes.request:
        this.#serve(envelope)
        break
      case envelopes.result:
      case envelopes.failure:
      case envelopes.item:
      case envelopes.end:
        this.#answered(envelope)
        break
      case envelopes.credit:
        this.#serving.get(request)?.grant(Number(envelope.body()))
        break
      case envelopes.cancel: {
        const call = this.#serving.get(request)
        this.#serving.delete(request)
        attempt(() => call?.giveUp())
        break
      }
      case envelopes.release:
        for (const pin of envelope.body() as number[]) this.#unpin(pin)
        break
      case envelopes.broken: {
        const text = `process ${this.identity.processId} cannot read what it was sent: ${envelope.body()}`
        this.disconnect(new LinkLostError(text))
        break
      }
      default:
        throw new TypeError(`an envelope of unknown kind ${kind}`)
    }
  }

  #serve(envelope: ReceivedEnvelope): void {
    const { request } = envelope
    let call: IncomingCall | undefined
    let args: ReceivedPayload
    let late: LatePayloads | undefined
    try {
      const body = envelope.body() as [string, string, Payload, [number, Payload][] | undefined]
      call = new IncomingCall(this, request, String(body[0]), String(body[1]))
      const queue = envelope.queue()
      args = received(body[2], queue)
      late = body[3]?.map(([index, value]) => [index, received(value, queue)] as const)
    } catch (error) {
      this.#letGo(envelope)
      this.#refuse(call ?? new IncomingCall(this, request, '', 'a call'), unreadable('a request', error))
      return
    }
    if (request !== 0) this.#serving.set(request, call)
    let prepared: Promise<unknown> | undefined
    try {
      prepared = this.handler.prepare?.(call.target, call.method)
    } catch (error) {
      this.#letGo(envelope)
      this.#refuse(call, error)
      return
    }
    if (!prepared) {
      this.#begin(envelope, call, args, late)
      return
    }
    const prepare = () => this.#begin(envelope, call, args, late)
    void prepared.then(prepare, prepare)
  }

  /** Hands a request to who serves it, with its arguments decoded. */
  #begin(envelope: ReceivedEnvelope, call: IncomingCall, args: ReceivedPayload, late: LatePayloads | undefined): void {
    try {
      const kept: Promise<unknown>[] = []
      try {
        call.args = listOf(this.#decoded(args, kept))
        for (const [index, value] of late ?? []) call.args[index] = this.#decoded(value, kept)
      } finally {
        this.#letGoAfter(envelope, kept)
      }
      call.mayLack = late !== undefined
      this.handler.call(call)
    } catch (error) {
      this.#refuse(call, error)
    }
  }

  #refuse(call: IncomingCall, error: unknown): void {
    if (call.number === 0) debug('a message from process %s failed: %s', this.identity.processId, describe(error))
    else call.fail(error)
  }

  #answered(envelope: ReceivedEnvelope): void {
    const { kind, request } = envelope
    const answer = this.#answers.get(request)
    if (!answer) {
      this.#letGo(envelope)
      return
    }
    let value: unknown
    try {
      if (kind !== envelopes.end) value = this.#read(envelope)
    } catch (error) {
      // The producer of a stream need not go on.
      if (kind === envelopes.item) this.cancel(request)
      else this.#settle(request)
      attempt(() => answer.failure(error))
      return
    }
    if (kind !== envelopes.item) this.#settle(request)
    attempt(() => {
      if (kind === envelopes.result) answer.result(value)
      else if (kind === envelopes.failure) answer.failure(value)
      else if (kind === envelopes.item) answer.item(value)
      else answer.end()
    })
  }

  #read(envelope: ReceivedEnvelope): unknown {
    let payload: ReceivedPayload
    try {
      payload = received(envelope.body() as Payload, envelope.queue())
    } catch (error) {
      this.#letGo(envelope)
      throw unreadable('the answer', error)
    }
    const kept: Promise<unknown>[] = []
    try {
      return this.#decoded(payload, kept)
    } finally {
      this.#letGoAfter(envelope, kept)
    }
  }

  #settle(request: number): void {
    if (!this.#answers.delete(request)) return
    this.#control.delete(request)
    this.#advance()
  }

  /** Decodes a payload, and adds to `kept` what its pin is still needed for. */
  #decoded({ tree, tagged, attachments }: ReceivedPayload, kept: Promise<unknown>[]): unknown {
    return tagged ? decode(tree, tagged, attachments, this.sameNode, (until) => kept.push(until)) : tree
  }

  #letGoAfter(envelope: ReceivedEnvelope, kept: readonly Promise<unknown>[]): void {
    if (kept.length === 0) this.#letGo(envelope)
    else void Promise.allSettled(kept).then(() => this.#letGo(envelope))
  }

  #letGo({ pin }: ReceivedEnvelope): void {
    if (pin === 0) return
    if (this.#released.push(pin) === 1) queueMicrotask(() => this.#sendReleased())
  }

  #sendReleased(): void {
    this.#send(envelopes.release, 0, this.#released)
    this.#released = []
  }

  get #callsInFlight(): number {
    return this.#answers.size - this.#queued.size - this.#control.size
  }

  #unpin(pin: number): void {
    const releases = this.#pins.get(pin)
    this.#pins.delete(pin)
    releaseAll(releases ?? [])
  }

  #advance(): void {
    if (this.#queued.size === 0) return
    for (const [number, packet] of this.#queued) {
      if (this.#callsInFlight >= MAX_IN_FLIGHT) return
      this.#queued.delete(number)
      this.#post(packet)
    }
  }

  #packRequest(number: number, { target, method, args, late }: OutgoingRequest): Packet {
    const body: unknown[] = [target, method, payloadOf(args)]
    if (late) body.push(late.map(([index, value]) => [index, payloadOf(value)]))
    return this.#pack(envelopes.request, number, body, [args, ...(late ?? []).map(([, value]) => value)])
  }

  /** Packs what was encoded; what that pins is held until the other end has read it. */
  #pack(kind: number, request: number, body: unknown, encoded: Encoded[]): Packet {
    const pins = encoded.length === 1 ? encoded[0]!.pins : encoded.flatMap((one) => one.pins)
    const pin = pins.length > 0 ? ++this.#pinCount : 0
    try {
      const attachments = encoded.length === 1 ? encoded[0]!.attachments : encoded.flatMap((one) => one.attachments)
      const packet = pack({ kind, request, pin }, body, attachments)
      if (pin !== 0) this.#pins.set(pin, pins)
      return packet
    } catch (error) {
      releaseAll(pins)
      throw unpackable(encoded[0]!.subject, error)
    }
  }

  /** Sends an envelope without attachments. */
  #send(kind: number, request: number, body: unknown = null): void {
    this.#post(pack({ kind, request, pin: 0 }, body))
  }

  #post(packet: Packet): void {
    if (this.#lost) return
    this.#ref()
    seal(packet, this.#sent)
    this.#sent += 1
    this.link.post(packet)
  }

  #ref(): void {
    if (this.keepAlive?.someUnref) this.keepAlive.ref()
  }
}

function releaseAll(releases: readonly (() => void)[]): void {
  for (const release of releases) attempt(release)
}

/** Does what must not keep others from their outcome. */
function attempt(act: () => void): void {
  try {
    act()
  } catch (error) {
    debug('a handler threw: %s', describe(error))
  }
}
