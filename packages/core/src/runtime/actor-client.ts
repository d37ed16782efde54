import { Deferred } from '../common/deferred.js'
import {
  ActorDiedError,
  ActorUnreachableError,
  ClusterLostError,
  ObjectLostError,
  QueueFullError,
} from '../common/errors.js'
import { afterTurns } from '../common/timer.js'
import { type ActorRecord, type ActorState, type Death, STOP } from '../protocol/actor.js'
import type { Location } from '../protocol/location.js'
import type { ConstructionService } from '../protocol/services.js'
import { encode } from '../transport/codec.js'
import { control } from '../transport/control.js'
import { LinkLostError } from '../transport/link.js'
import type { Peer } from '../transport/peer.js'
import { addOrigin, Call, type CallOwner, callerOf } from './call.js'
import type { CallOptions } from './call-options.js'
import { Outgoing } from './outgoing.js'
import { ObjectRef } from './ref.js'
import type { RemoteValue } from './remote-ref-state.js'
import type { RemoteResultRef } from './remote-result-ref.js'
import type { Runtime } from './runtime.js'

/** Milliseconds that answers which a dead actor had sent still have to arrive, on a connection that does not say it broke. */
const LAST_ANSWERS = 250

const NO_OPTIONS: CallOptions = {}

let calls = 0

/**
 * This process's side of one actor: sends its calls in order, fails them when it dies, and where that was asked for sends
 * them again when it has come back.
 */
export class ActorClient implements CallOwner {
  /** `unsure`: its connection broke, or the record may be an old one; the head is asked before anything is sent. */
  #state: 'alive' | 'unsure' | 'restarting' | 'dead' = 'alive'
  #death: Death | undefined
  #peer: Peer | undefined
  readonly #callIds: string
  #asking: Promise<void> | undefined
  /** Whether its connection broke a moment ago: that it was alive then is no news. */
  #isLosing = false
  /** The number of deaths that were known when each connection was opened. */
  readonly #epochs = new WeakMap<Peer, number>()
  #deaths = 0
  /** Whether somebody has learned of its death before it was known that it does not come back. */
  #isNoticed = false
  readonly #changes = new Set<() => void>()
  /** Calls that wait for refs among their arguments, for calls before them or for the actor, in order. */
  readonly #queue: Outgoing[] = []
  /** Calls that may have to be sent again. */
  readonly #kept = new Map<Call, Outgoing>()
  #pending = 0
  readonly #pins: (() => void)[] = []

  /**
   * Has the head tell this process of every change of the actor from now on, before it is called for the first time.
   *
   * @param isFresh whether the record has just come from the head
   */
  constructor(
    private readonly runtime: Runtime,
    public record: ActorRecord,
    isFresh: boolean,
  ) {
    const watched = this.#watch()
    if (record.restartable && !isFresh) {
      this.#state = 'unsure'
      this.#awaitWord(watched)
    }
    this.#callIds = `${runtime.self.processId}:`
  }

  /** Calls a method. Refs among the arguments are resolved first; later calls wait for that, so that the order holds. */
  call(method: string, args: unknown[], options = NO_OPTIONS): ObjectRef<unknown> {
    return this.#start(method, args, options).ref
  }

  /** Calls a generator method. The result is no promise, so that an async function can return it. */
  stream(method: string, args: unknown[], options = NO_OPTIONS): AsyncIterable<unknown> {
    const call = this.#start(method, args, options)
    return { [Symbol.asyncIterator]: () => call.iterate() }
  }

  /** Constructs the actor in its worker. */
  async construct(args: unknown[]): Promise<void> {
    const origin = callerOf()
    const peer = this.#connect()
    const { restarts } = this.record
    try {
      await control<ConstructionService>(peer).construct(args)
    } catch (error) {
      if (error instanceof LinkLostError) {
        const reason = await this.#explain(error, peer)
        // The head constructs it anew where restarts are left.
        if (await this.runtime.connections.awaiting(this.#isRestartedSince(restarts))) return
        throw reason
      }
      if (error instanceof Error) addOrigin(error, `new ${this.record.name}`, origin)
      throw error
    }
  }

  async #isRestartedSince(restarts: number): Promise<boolean> {
    while (this.#state !== 'alive' && this.#state !== 'dead') await this.#changed()
    return this.#state === 'alive' && this.record.restarts > restarts
  }

  async stop(): Promise<void> {
    await this.call(STOP, [], { maxRetries: 0 })
    await this.ended()
  }

  async kill(): Promise<void> {
    await this.runtime.head.end(this.record.id, 'it was killed by killActor')
    await this.ended()
  }

  /** Calls `act` once when the actor has left the process that it had after so many restarts, also if it is to come back. */
  onceGone(restarts: number, act: (death: Death) => void): void {
    const changed = () => {
      const isThere = this.#state === 'alive' || this.#state === 'unsure'
      if (isThere && this.record.restarts <= restarts) return
      this.#changes.delete(changed)
      act(this.#death ?? { reason: 'its process was restarted' })
    }
    this.#changes.add(changed)
    changed()
  }

  /** The connection to the actor, for requests beside the calls of its methods. */
  connection(): Peer {
    return this.#connect()
  }

  /** The reason why a request over a connection failed: where that broke, the fate of the actor. */
  async explain(error: unknown, peer: Peer): Promise<unknown> {
    return error instanceof LinkLostError ? this.#explain(error, peer) : error
  }

  /** Takes the head's word on how the actor is. */
  changed(state: ActorState): void {
    if (this.#state === 'dead') return
    if (state.state === 'dead') this.died(state.death)
    else if (state.state === 'restarting') this.#left('restarting', state.death)
    else if (!this.#isLosing || state.record.restarts > this.record.restarts) this.#alive(state.record)
  }

  /** Takes the actor as dead: fails its pending calls and all later ones. */
  died(death: Death): void {
    if (this.#state === 'dead') return
    this.#left('dead', death)
    if (this.#isNoticed) this.runtime.noticed(this.record.id)
    this.runtime.forget(this.record.id)
    for (const release of this.#pins.splice(0)) release()
    for (const { call } of this.#queue.splice(0)) call.failure(this.#deathError())
  }

  /** Holds what is in the arguments it may be constructed from again, until it is dead. */
  pin(pins: readonly (() => void)[]): void {
    this.#pins.push(...pins)
    if (this.#state === 'dead') for (const release of this.#pins.splice(0)) release()
  }

  /** The runtime has learned of this actor anew, perhaps from a newer record. */
  learn(record: ActorRecord): void {
    if (record.restarts > this.record.restarts) this.#alive(record)
  }

  lost(call: Call, error: LinkLostError, peer: Peer): void {
    const outgoing = this.#kept.get(call)
    if (outgoing && outgoing.retries > 0 && !call.isStreaming && this.#state !== 'dead') {
      outgoing.retries -= 1
      const later = this.#queue.findIndex(({ number }) => number > outgoing.number)
      this.#queue.splice(later < 0 ? this.#queue.length : later, 0, outgoing)
      this.#doubt()
      return
    }
    void this.#explain(error, peer).then((reason) => call.failure(reason))
  }

  /**
   * Adopts a result that stays with the actor's process. Lost with that, it is not computed again: the actor's state may
   * have changed since.
   */
  adopt({ ref, label }: Call, held: RemoteResultRef): RemoteValue {
    const again = async ({ holder }: Location) => {
      // The head knows why the process ended.
      if (this.#state === 'alive') await this.#watch(holder.processId)
      const why = this.#death ? `: ${this.#death.reason}` : ''
      throw new ObjectLostError(
        `the result of ${label} was lost with the actor's process on node ${holder.nodeId}${why}; results of ` +
          'actors are not computed again, so await or copy those that must outlive the actor',
      )
    }
    return this.runtime.results.adopt(ref, held, { again, done() {} })
  }

  noticed(error: unknown): void {
    if (!(error instanceof ActorDiedError)) return
    if (this.#state === 'dead') this.runtime.noticed(this.record.id)
    else this.#isNoticed = this.#state === 'restarting'
  }

  settled(call: Call): void {
    this.#pending -= 1
    this.#kept.get(call)?.done()
    this.#kept.delete(call)
    if (this.#queue[0]?.call.isSettled) this.#pump()
  }

  #start(method: string, args: unknown[], options: CallOptions): Call {
    const number = ++calls
    const label = method === STOP ? `stopActor(${this.record.name})` : `${this.record.name}.${method}`
    this.#pending += 1
    const call = new Call(this.#callIds + number, label, callerOf(), this, options)
    if (call.isSettled) return call
    try {
      this.#send(number, call, method, args, options.maxRetries ?? this.record.maxTaskRetries)
    } catch (error) {
      call.failure(error)
    }
    return call
  }

  #send(number: number, call: Call, method: string, args: unknown[], retries: number): void {
    if (this.#state === 'dead') throw this.#deathError()
    if (this.#pending > this.record.maxPendingCalls) {
      const { name, maxPendingCalls } = this.record
      throw new QueueFullError(
        `${name} has ${maxPendingCalls} unanswered calls from this process; await some of them, or raise maxPendingCalls`,
      )
    }
    const isDirect = retries === 0 && this.#queue.length === 0 && this.#state === 'alive'
    if (isDirect && !args.some((arg) => arg instanceof ObjectRef)) {
      const peer = this.#connect()
      if (!peer.isLost) {
        const encoded = encode(args, 'arguments', peer.sameNode)
        call.sent(peer, peer.request({ target: this.record.id, method, args: encoded }, call))
        return
      }
    }
    const sameNode = this.record.address.nodeId === this.runtime.self.nodeId
    const outgoing = new Outgoing(number, call, method, args, sameNode, retries, this.runtime.connections.hold())
    this.#kept.set(call, outgoing)
    this.#queue.push(outgoing)
    if (outgoing.isReady) this.#pump()
    else void this.#resolve(outgoing)
  }

  async #resolve(outgoing: Outgoing): Promise<void> {
    try {
      await outgoing.resolve()
    } catch (error) {
      outgoing.call.failure(error)
    }
    this.#pump()
  }

  /** Sends what waits, as far as it can be sent. */
  #pump(): void {
    for (;;) {
      const [first] = this.#queue
      if (!first) return
      if (first.call.isSettled) {
        this.#queue.shift()
        continue
      }
      if (this.#state === 'unsure') this.#doubt()
      if (!first.isReady || this.#state !== 'alive') return
      const peer = this.#connect()
      if (peer.isLost) {
        this.#doubt()
        return
      }
      this.#queue.shift()
      try {
        const request = { target: this.record.id, method: first.method, ...first.encoded(peer.sameNode) }
        first.call.sent(peer, peer.request(request, first.call))
      } catch (error) {
        first.call.failure(error)
      }
    }
  }

  /** The connection to the actor; a broken one is replaced only when the head has said that the actor lives. */
  #connect(): Peer {
    if (this.#peer) return this.#peer
    this.#peer = this.runtime.reach(this.record.address)
    this.#epochs.set(this.#peer, this.#deaths)
    return this.#peer
  }

  /** Has the head say how the actor is, before anything more is sent to it. */
  #doubt(): void {
    if (this.#state === 'alive') this.#state = 'unsure'
    if (this.#state === 'unsure' && !this.#asking) this.#awaitWord(this.#ask())
  }

  #awaitWord(word: Promise<void>): void {
    this.#asking = this.runtime.connections.awaiting(word).finally(() => {
      this.#asking = undefined
      if (this.#state === 'unsure') this.#doubt()
    })
  }

  async #ask(): Promise<void> {
    // The head hears of a death a little later than those who are connected.
    const lost = this.#peer?.isLost ? this.#peer.identity.processId : undefined
    this.#isLosing = lost !== undefined
    await this.#watch(lost)
  }

  async #watch(lost?: string): Promise<void> {
    try {
      const state = await this.runtime.head.watch(this.record.id, lost)
      // An answer to what was asked before the connection broke is older than that.
      if (lost !== undefined) this.#isLosing = false
      this.changed(state)
    } catch (error) {
      this.died({ reason: error instanceof ClusterLostError ? error.message : String(error) })
    }
  }

  /** The actor has left its process. */
  #left(state: 'restarting' | 'dead', death: Death): void {
    this.#deaths += 1
    this.#state = state
    this.#death = death
    const peer = this.#peer
    if (peer && !peer.isLost) afterTurns(LAST_ANSWERS, () => peer.disconnect(new LinkLostError(death.reason)))
    for (const changed of this.#changes) changed()
  }

  /** The actor lives at a place; what is on its way to an earlier one comes first. */
  #alive(record: ActorRecord): void {
    const isNew = record.restarts > this.record.restarts
    if (isNew && this.#peer && !this.#peer.isLost && this.#peer.identity.processId !== record.address.processId) {
      const peer = this.#peer
      afterTurns(LAST_ANSWERS, () => {
        peer.disconnect(new LinkLostError('the actor was restarted'))
        this.#alive(record)
      })
      return
    }
    if (this.#state === 'dead' || record.restarts < this.record.restarts) return
    if (isNew || this.#peer?.isLost) this.#peer = undefined
    this.record = record
    this.#state = 'alive'
    this.#isNoticed = false
    for (const changed of this.#changes) changed()
    this.#pump()
  }

  /** Resolves when the actor is dead and this process knows it. */
  async ended(): Promise<void> {
    await this.runtime.connections.awaiting(
      (async () => {
        while (this.#state !== 'dead') await this.#changed()
      })(),
    )
  }

  /** Resolves at the next change of the actor's state. */
  async #changed(): Promise<void> {
    const change = new Deferred()
    this.#changes.add(change.resolve)
    await change.promise
    this.#changes.delete(change.resolve)
  }

  /** Waits for the head's word on why a connection broke: it knows the exit code of the process. */
  async #explain(lost: LinkLostError, peer: Peer): Promise<Error> {
    if (this.#epochs.get(peer) === this.#deaths) {
      this.#doubt()
      await this.#asking
    }
    if (this.#epochs.get(peer) !== this.#deaths) return this.#deathError(lost)
    return new ActorUnreachableError(
      `the connection to actor ${this.record.name} broke, and whether it ran the call is not known: ${lost.message}`,
      { cause: lost },
    )
  }

  #deathError(lost?: LinkLostError): ActorDiedError {
    const death = this.#death ?? { reason: lost?.message ?? 'it cannot be reached' }
    return new ActorDiedError(this.record.name, death.reason, death)
  }
}
