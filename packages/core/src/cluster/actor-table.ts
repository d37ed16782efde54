import { ActorDiedError, InvalidInputError } from '../api/errors.js'
import type { Peer } from '../transport/peer.js'
import { randomId } from '../transport/switchboard.js'
import { ActorNames } from './actor-names.js'
import type { Node } from './head.js'
import { placeMesh, placeOne } from './placement.js'
import type { ActorRecord, ActorState, Death, HeadNotices, Spawned, SpawnRequest } from './protocol.js'
import { WorkerExit, type WorkerPool, type WorkerProcess } from './worker-pool.js'

/** How many dead actors are remembered, with why they died. */
const REMEMBERED_DEAD = 10_000
/** Milliseconds before the second restart of an actor, doubled for each further one up to the most. */
const RESTART_DELAY = { least: 50, most: 5000 }

/** The process that asks for an actor. */
export interface Owner {
  readonly processId: string
  /** The driver at the root of what the process belongs to; empty where that is a detached actor. */
  readonly driver: string
  readonly namespace: string
}

/** An actor as the head keeps it, while it lives. */
interface Actor {
  readonly id: string
  readonly name: string
  readonly namespace: string
  readonly request: SpawnRequest
  readonly member: number
  readonly owner: string
  readonly driver: string
  readonly watchers: Set<Peer>
  state: 'starting' | 'alive' | 'restarting'
  node: Node
  worker: WorkerProcess | undefined
  restarts: number
  /** Why it died last. */
  death: Death | undefined
  /** Why it is about to end for good, when that is known before its process ends. */
  ending: string | undefined
}

/** The cluster's actors: spawns them over the nodes, restarts them, and tells who watches them what becomes of them. */
export class ActorTable {
  readonly #nodes: ReadonlyMap<string, Node>
  readonly #workers: WorkerPool
  readonly #actors = new Map<string, Actor>()
  readonly #dead = new Map<string, Death>()
  readonly #names = new ActorNames()

  constructor(nodes: ReadonlyMap<string, Node>, workers: WorkerPool) {
    this.#nodes = nodes
    this.#workers = workers
  }

  /**
   * Starts a worker process for each member, all at once.
   *
   * @throws InvalidInputError if the name is taken or the node is unknown
   * @throws ActorDiedError if a process does not start; the others are ended
   */
  async spawn(request: SpawnRequest, owner: Owner): Promise<Spawned[]> {
    const namespace = request.namespace ?? owner.namespace
    if (request.getIfExists && request.name !== undefined) {
      const known = this.#actors.get(this.#names.find(namespace, request.name) ?? '')
      if (known?.worker) return [{ record: recordOf(known), existed: true }]
    }
    const places = this.#place(request)
    const ids = request.members.map(() => randomId())
    const names = this.#names.assign(request, namespace, ids)
    const actors = request.members.map((_, member) => {
      const actor: Actor = {
        id: ids[member]!,
        name: names[member]!,
        namespace,
        request,
        member,
        owner: request.detached ? '' : owner.processId,
        driver: request.detached ? '' : owner.driver,
        watchers: new Set(),
        state: 'starting',
        node: places[member]!,
        worker: undefined,
        restarts: 0,
        death: undefined,
        ending: undefined,
      }
      this.#actors.set(actor.id, actor)
      return actor
    })
    const outcomes = await Promise.allSettled(actors.map((actor) => this.#launch(actor)))
    const failure = outcomes.find((outcome) => outcome.status === 'rejected')
    if (!failure) return actors.map((actor) => ({ record: recordOf(actor), existed: false }))
    await Promise.all(actors.map((actor) => this.end(actor.id, 'another member of its mesh did not start')))
    throw failure.reason
  }

  /** The living actor that was given a name. */
  lookUp(name: string, namespace: string): ActorRecord | undefined {
    const actor = this.#actors.get(this.#names.find(namespace, name) ?? '')
    return actor?.worker && recordOf(actor)
  }

  /** How an actor is; the peer is told of every change. */
  watch(actorId: string, peer: Peer): ActorState {
    const actor = this.#actors.get(actorId)
    if (!actor) {
      const death = this.#dead.get(actorId) ?? { reason: 'the cluster does not know it any more' }
      return { state: 'dead', death }
    }
    actor.watchers.add(peer)
    return stateOf(actor)
  }

  /** A process has gone, and with it what it watched. */
  forget(peer: Peer): void {
    for (const actor of this.#actors.values()) actor.watchers.delete(peer)
  }

  /** Ends an actor for good; resolves when its process has ended. */
  async end(actorId: string, reason: string): Promise<void> {
    const actor = this.#actors.get(actorId)
    if (!actor) return
    actor.ending ??= reason
    if (actor.worker) await this.#workers.end(actor.worker, { reason })
    this.#died(actor, { reason: actor.ending })
  }

  async endOwnedBy(owner: string, reason: string): Promise<void> {
    const owned = [...this.#actors.values()].filter((actor) => actor.owner === owner || actor.driver === owner)
    await Promise.all(owned.map((actor) => this.end(actor.id, reason)))
  }

  /** The actor of a process has been asked to end itself. */
  stopping(processId: string): void {
    for (const actor of this.#actors.values()) {
      if (actor.worker?.processId === processId) actor.ending ??= 'it was stopped'
    }
  }

  countOn(nodeId: string): number {
    return [...this.#actors.values()].filter((actor) => actor.node.id === nodeId).length
  }

  /** Starts the actor's process. */
  async #launch(actor: Actor): Promise<void> {
    const { actorClass, members, dimensions, concurrency, settings } = actor.request
    const { id: actorId, name, driver, namespace } = actor
    let worker: WorkerProcess | undefined
    const exited = (death: Death) => {
      if (worker && actor.worker === worker) this.#exited(actor, death)
    }
    try {
      worker = await this.#workers.start(actor.node, settings, { name, driver, namespace, exited })
      const spec = { actorId, name, actorClass, concurrency, dimensions, ...members[actor.member] }
      await worker.unlessExited(worker.duties.become(spec))
      if (actor.ending !== undefined) throw new WorkerExit({ reason: actor.ending })
    } catch (error) {
      const death = error instanceof WorkerExit ? error.death : { reason: String(error) }
      if (worker) void this.#workers.end(worker, death)
      if (actor.state === 'starting') this.#died(actor, death)
      throw new ActorDiedError(name, actor.ending ?? death.reason, death)
    }
    actor.worker = worker
    if (actor.state === 'starting') actor.state = 'alive'
  }

  /** The process of a living actor has ended. */
  #exited(actor: Actor, death: Death): void {
    void this.endOwnedBy(actor.worker!.processId, `its owner ${actor.name} died`)
    actor.worker = undefined
    if (actor.ending === undefined && actor.restarts < actor.request.maxRestarts) void this.#restart(actor, death)
    else this.#died(actor, actor.ending === undefined ? death : { reason: actor.ending })
  }

  async #restart(actor: Actor, death: Death): Promise<void> {
    actor.state = 'restarting'
    this.#bury(actor, death)
    this.#tell(actor, { state: 'restarting', death })
    while (actor.ending === undefined) {
      if (actor.restarts >= actor.request.maxRestarts) {
        this.#died(actor, actor.death!)
        return
      }
      if (actor.restarts > 0) {
        await new Promise((resolve) => {
          setTimeout(resolve, Math.min(RESTART_DELAY.least * 2 ** (actor.restarts - 1), RESTART_DELAY.most))
        })
        if (actor.ending !== undefined) return
      }
      actor.restarts += 1
      try {
        if (!this.#nodes.has(actor.node.id)) actor.node = this.#place({ ...actor.request, nodeId: undefined })[0]!
        await this.#launch(actor)
        const worker = actor.worker!
        const args = actor.request.creation![actor.member]!
        await worker.unlessExited(worker.duties.reconstruct(args, actor.restarts, actor.death!.reason))
      } catch (error) {
        if (actor.ending !== undefined) return
        if (error instanceof WorkerExit) this.#bury(actor, error.death)
        else if (error instanceof ActorDiedError) this.#bury(actor, error)
        else {
          await this.end(actor.id, `it could not be constructed anew: ${error}`)
          return
        }
        continue
      }
      actor.state = 'alive'
      this.#tell(actor, stateOf(actor))
      return
    }
  }

  #bury(actor: Actor, { reason, lines, cause }: Death): void {
    actor.death = { reason, lines, cause }
  }

  #died(actor: Actor, death: Death): void {
    if (!this.#actors.delete(actor.id)) return
    this.#names.release(actor.namespace, actor.name, actor.id)
    this.#dead.set(actor.id, death)
    if (this.#dead.size > REMEMBERED_DEAD) this.#dead.delete(this.#dead.keys().next().value!)
    this.#tell(actor, { state: 'dead', death })
  }

  #tell(actor: Actor, state: ActorState): void {
    for (const peer of actor.watchers) peer.notify('actorChanged' satisfies keyof HeadNotices, actor.id, state)
  }

  #place({ members, dimensions, nodeId }: SpawnRequest): Node[] {
    if (nodeId !== undefined) {
      const node = this.#nodes.get(nodeId)
      if (!node) throw new InvalidInputError(`no node ${nodeId} is in the cluster; cluster.nodes() lists them`)
      return members.map(() => node)
    }
    const candidates = [...this.#nodes.values()].map((node) => ({ id: node.id, node, actors: this.countOn(node.id) }))
    const places = dimensions ? placeMesh(candidates, dimensions) : members.map(() => placeOne(candidates))
    return places.map(({ node }) => node)
  }
}

function recordOf(actor: Actor): ActorRecord {
  const { id, name, worker, restarts, request } = actor
  const { maxRestarts, maxTaskRetries, maxPendingCalls } = request
  const { pid, address } = worker!
  return {
    id,
    name,
    pid,
    address,
    generators: request.actorClass.generators,
    restarts,
    restartable: maxRestarts > 0,
    maxTaskRetries,
    maxPendingCalls,
  }
}

function stateOf(actor: Actor): ActorState {
  if (actor.state === 'restarting' || !actor.worker) {
    return { state: 'restarting', death: actor.death ?? { reason: 'its process has not started yet' } }
  }
  return { state: 'alive', record: recordOf(actor) }
}
