import { Call } from '../api/call.js'
import { ActorDiedError, ClusterLostError } from '../api/errors.js'
import { addOrigin, callerOf } from '../api/origin.js'
import { ObjectRef } from '../api/ref.js'
import { type ActorRecord, STOP, type WorkerRequests } from '../cluster/protocol.js'
import { type Encoded, encode } from '../transport/codec.js'
import { control } from '../transport/control.js'
import { LinkLostError } from '../transport/link.js'
import type { Peer } from '../transport/peer.js'
import { snapshot } from '../transport/wire.js'
import type { Runtime } from './runtime.js'

/** Milliseconds that the head has to say why an actor's connection broke. */
const REASON_TIMEOUT = 1000

/** Milliseconds that answers which a dead actor had sent still have to arrive, on a connection that does not say it broke. */
const LAST_ANSWERS = 250

let calls = 0

/** This process's side of one actor: sends its calls in order, and fails them when it dies. */
export class ActorClient {
  #death: string | undefined
  #peer: Peer | undefined
  #watching: Promise<void> | undefined
  #died!: () => void
  readonly #untilDeath = new Promise<void>((resolve) => {
    this.#died = resolve
  })
  /** Settles when the last call that waits for refs among its arguments has been sent. */
  #tail: Promise<void> | undefined

  constructor(
    private readonly runtime: Runtime,
    readonly record: ActorRecord,
  ) {}

  /** Calls a method. Refs among the arguments are resolved first; later calls wait for that, so that the order holds. */
  call(method: string, args: unknown[]): ObjectRef<unknown> {
    return this.#start(method, args).ref
  }

  /** Calls a generator method. What is returned is no promise, so that an async function can return it. */
  stream(method: string, args: unknown[]): AsyncIterable<unknown> {
    const call = this.#start(method, args)
    return { [Symbol.asyncIterator]: () => call.iterate() }
  }

  #start(method: string, args: unknown[]): Call {
    const id = `${this.runtime.self.processId}:${++calls}`
    const label = method === STOP ? `stopActor(${this.record.name})` : `${this.record.name}.${method}`
    const call = new Call(id, label, callerOf(), (lost) => this.#explain(lost))
    try {
      this.#send(call, method, args)
    } catch (error) {
      call.failure(error)
    }
    return call
  }

  /** Constructs the actor in its worker. */
  async construct(args: unknown[]): Promise<void> {
    const origin = callerOf()
    const peer = this.#connect()
    try {
      await control<WorkerRequests>(peer).construct(args)
    } catch (error) {
      if (error instanceof LinkLostError) throw await this.#explain(error)
      if (error instanceof Error) addOrigin(error, `new ${this.record.name}`, origin)
      throw error
    }
  }

  async stop(): Promise<void> {
    await this.call(STOP, [])
    await this.#ended()
  }

  async kill(): Promise<void> {
    await this.runtime.head.end(this.record.id, 'it was killed by killActor')
    await this.#ended()
  }

  /** Takes the actor as dead: fails its pending calls and all later ones. */
  died(reason: string): void {
    if (this.#death !== undefined) return
    this.#death = reason
    this.#died()
    this.runtime.forget(this.record.id)
    const peer = this.#peer
    if (peer && !peer.isLost) setTimeout(() => peer.disconnect(new LinkLostError(reason)), LAST_ANSWERS)
  }

  #send(call: Call, method: string, args: unknown[]): void {
    if (this.#death !== undefined) throw this.#deathError(this.#death)
    const refs = args.flatMap((arg, index) => (arg instanceof ObjectRef ? [[index, arg] as const] : []))
    const known = refs.length === 0 ? args : args.map((arg) => (arg instanceof ObjectRef ? null : arg))
    const peer = this.#connect()
    const encoded = encode(known, 'arguments', peer.sameNode)
    if (refs.length === 0 && !this.#tail) {
      call.sent(peer, peer.request({ target: this.record.id, method, args: encoded }, call))
      return
    }
    const turn = this.#sendLater(call, method, snapshot(encoded), refs, this.#tail).finally(() => {
      if (this.#tail === turn) this.#tail = undefined
    })
    this.#tail = turn
  }

  async #sendLater(
    call: Call,
    method: string,
    args: Encoded,
    refs: (readonly [number, ObjectRef<unknown>])[],
    before: Promise<void> | undefined,
  ): Promise<void> {
    const late: [number, Encoded][] = []
    try {
      const values = await Promise.all(refs.map(([, ref]) => ref))
      await before
      if (this.#death !== undefined) throw this.#deathError(this.#death)
      const peer = this.#connect()
      for (const [position, [index]] of refs.entries()) {
        late.push([index, encode(values[position], `argument ${index + 1}`, peer.sameNode)])
      }
      call.sent(peer, peer.request({ target: this.record.id, method, args, late }, call))
    } catch (error) {
      for (const { pins } of [args, ...late.map(([, value]) => value)]) for (const release of pins) release()
      await before
      call.failure(error)
    }
  }

  #connect(): Peer {
    if (this.#peer && !this.#peer.isLost) return this.#peer
    this.#watching ??= this.#watch()
    this.#peer = this.runtime.reach(this.record.address)
    return this.#peer
  }

  /** Connects to nothing when the actor died before this process first called it, so the head is asked as well. */
  async #watch(): Promise<void> {
    try {
      const reason = await this.runtime.head.watch(this.record.id)
      if (reason !== undefined) this.died(reason)
    } catch (error) {
      this.died(error instanceof ClusterLostError ? error.message : String(error))
    }
  }

  async #ended(): Promise<void> {
    this.#watching ??= this.#watch()
    await this.runtime.switchboard.awaiting(this.#untilDeath)
  }

  /** Waits for the head's word on why a connection broke: it knows the exit code of the process. */
  async #explain(lost: LinkLostError): Promise<Error> {
    if (this.#death === undefined) {
      let timer: NodeJS.Timeout | undefined
      const timeout = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, REASON_TIMEOUT)
      })
      await this.runtime.switchboard.awaiting(Promise.race([this.#untilDeath, timeout]))
      clearTimeout(timer)
    }
    return this.#deathError(this.#death ?? lost.message)
  }

  #deathError(reason: string): ActorDiedError {
    return new ActorDiedError(this.record.name, reason)
  }
}
