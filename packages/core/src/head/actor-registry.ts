import { InvalidInputError } from '../common/errors.js'
import type { ActorRecord, ActorState, Death, SpawnRequest } from '../protocol/actor.js'
import type { DirectoryId } from '../protocol/directory-id.js'
import type { ActorInfo } from '../protocol/listing.js'
import type { HeadEvents } from '../protocol/services.js'
import type { Peer } from '../transport/peer.js'
import { ActorIndex } from './actor-index.js'
import { ActorNames } from './actor-names.js'
import { type Actor, recordOf } from './records.js'
import type { WorkerProcess } from './worker-pool.js'

/** Dead actors that are remembered, with why they died. */
const REMEMBERED_DEAD = 10_000

/** The actors that live, with their names and those who watch them, and why the latest dead ones died. */
export class ActorRegistry extends ActorIndex<Actor> {
  readonly #names = new ActorNames()
  /** The actors that each process watches. */
  readonly #watched = new WeakMap<Peer, Set<Actor>>()
  readonly #dead = new Map<string, Death>()

  /**
   * Names the members of a spawn.
   *
   * @throws InvalidInputError if a chosen name is taken
   */
  assignNames(request: SpawnRequest, namespace: string, ids: readonly string[]): string[] {
    return this.#names.assign(request, namespace, ids)
  }

  /** Whether an actor lives that was given a name. */
  hasName(namespace: string, name: string): boolean {
    return this.#names.find(namespace, name) !== undefined
  }

  /** The death of an actor, if that is remembered. */
  deathOf(actorId: string): Death | undefined {
    return this.#dead.get(actorId)
  }

  /** The living actor that was given a name, once it has a process: one that starts, also anew, is waited for. */
  async lookUp(name: string, namespace: string): Promise<ActorRecord | undefined> {
    for (;;) {
      const actor = this.get(this.#names.find(namespace, name) ?? '')
      // One that is being ended is not given any more, though its name is free only when it has ended.
      if (!actor || (actor.worker && actor.ending === undefined)) return actor && recordOf(actor)
      await new Promise<void>((resolve) => actor.awaited.push(resolve))
    }
  }

  /** A process is told from now on what becomes of an actor. */
  watch(actor: Actor, peer: Peer): void {
    actor.watchers.add(peer)
    const watched = this.#watched.get(peer)
    if (watched) watched.add(actor)
    else this.#watched.set(peer, new Set([actor]))
  }

  /** A process has gone, and with it what it watched. */
  forget(peer: Peer): void {
    for (const actor of this.#watched.get(peer) ?? []) actor.watchers.delete(peer)
    this.#watched.delete(peer)
  }

  /** Tells those who watch an actor how it is. */
  tell(actor: Actor, state: ActorState): void {
    for (const peer of actor.watchers) peer.notify('actorChanged' satisfies keyof HeadEvents, actor.id, state)
  }

  /** An actor has died; false if it had before. */
  remove(actor: Actor, death: Death): boolean {
    if (!this.delete(actor)) return false
    this.#names.release(actor.namespace, actor.name, actor.id)
    this.#dead.set(actor.id, death)
    if (this.#dead.size > REMEMBERED_DEAD) this.#dead.delete(this.#dead.keys().next().value!)
    return true
  }

  /** Has nobody told of an actor any more. */
  dropWatchers(actor: Actor): void {
    for (const peer of actor.watchers) this.#watched.get(peer)?.delete(actor)
  }

  /** The working directories that living actors are in. */
  directories(): DirectoryId[] {
    return [...this.values()].flatMap(({ directory }) => directory ?? [])
  }

  /** The living actors. */
  list(): ActorInfo[] {
    return [...this.values()].map((actor) => {
      const { id, name, namespace, state, worker, grant, restarts, request, death } = actor
      const pid = worker?.pid ?? 0
      const { resources } = request.place
      const { className } = request.actorClass
      const nodeId = (grant ?? worker)?.node.id ?? ''
      const { isolation } = request
      return {
        id,
        name,
        namespace,
        className,
        isolation,
        state,
        pid,
        nodeId,
        restarts,
        resources,
        reason: death?.reason,
        failedBroadcasts: actor.failedBroadcasts,
      }
    })
  }

  /**
   * The process of a living actor, by the actor's name or id.
   *
   * @throws InvalidInputError if there is none, or several of that name
   */
  processOf(nameOrId: string): { name: string; worker: WorkerProcess } {
    const found = [...this.values()].filter(({ id, name }) => id === nameOrId || name === nameOrId)
    const [actor] = found
    if (found.length === 1 && actor?.worker) return { name: actor.name, worker: actor.worker }
    const ids = found.map(({ id }) => id).join(', ')
    if (found.length > 1)
      throw new InvalidInputError(`several actors are named ${nameOrId}; give the id of one: ${ids}`)
    throw new InvalidInputError(
      `no actor named ${nameOrId} ${actor ? 'has a process now' : 'lives'}; \`troupe list actors\` shows those that do`,
    )
  }
}
