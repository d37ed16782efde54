import { ActorDiedError, InvalidInputError } from '../api/errors.js'
import type { Peer } from '../transport/peer.js'
import { ipcEndpoint, randomId } from '../transport/switchboard.js'
import type { Node } from './head.js'
import { placeMesh, placeOne } from './placement.js'
import type { ActorRecord, Coordinates, SpawnRequest, WorkerSpec } from './protocol.js'

/** Milliseconds a worker process may take to start. */
const START_TIMEOUT = 30_000
/** How many dead actors are remembered, with why they died. */
const REMEMBERED_DEAD = 10_000

/** An actor as the head keeps it, while its process lives. */
interface Actor {
  readonly id: string
  readonly name: string
  readonly processId: string
  readonly node: Node
  /** The process that spawned it, and the driver at the root of that. */
  readonly owner: string
  readonly driver: string
  readonly watchers: Set<Peer>
  pid: number
  tcp: string | undefined
  /** Why it is about to end, when that is known before its process ends. */
  ending: string | undefined
  readonly started: (error?: Error) => void
}

/** The cluster's actors: spawns them over the nodes, and tells who watches them when they die. */
export class ActorTable {
  readonly #nodes: ReadonlyMap<string, Node>
  readonly #actors = new Map<string, Actor>()
  readonly #byProcess = new Map<string, Actor>()
  readonly #dead = new Map<string, string>()
  readonly #names = new Set<string>()
  readonly #numbers = new Map<string, number>()

  constructor(nodes: ReadonlyMap<string, Node>) {
    this.#nodes = nodes
  }

  /**
   * Starts a worker process for each member, all at once.
   *
   * @throws InvalidInputError if the name is taken or the node is unknown
   * @throws ActorDiedError if a process does not start; the others are ended
   */
  async spawn(request: SpawnRequest, owner: string): Promise<ActorRecord[]> {
    const places = this.#place(request)
    const names = this.#nameMembers(request)
    const starts = request.members.map((member, index) => {
      return this.#start(request, names[index]!, { ...member }, places[index]!, owner)
    })
    const outcomes = await Promise.allSettled(starts)
    const failure = outcomes.find((outcome) => outcome.status === 'rejected')
    const records = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
    if (!failure) return records
    await Promise.all(records.map((record) => this.end(record.id, 'another member of its mesh did not start')))
    throw failure.reason
  }

  /** A worker process has joined. */
  started(processId: string, pid: number, tcp: string | undefined): void {
    const actor = this.#byProcess.get(processId)
    if (!actor) throw new InvalidInputError(`no worker process ${processId} was started`)
    actor.pid = pid
    actor.tcp = tcp
    actor.started()
  }

  /** Why an actor is dead, or undefined while it lives; the peer is told when it dies. */
  watch(actorId: string, peer: Peer): string | undefined {
    const actor = this.#actors.get(actorId)
    if (!actor) return this.#dead.get(actorId) ?? 'the cluster does not know it any more'
    actor.watchers.add(peer)
    return undefined
  }

  /** Ends an actor. Those who watch it are told at once; resolves when its process has ended. */
  async end(actorId: string, reason: string): Promise<void> {
    const actor = this.#actors.get(actorId)
    if (!actor) return
    actor.ending = reason
    // A node that cannot be asked is lost, and its workers with it.
    await actor.node.agent.endWorker(actor.processId).catch(() => {})
    this.#died(actor, reason)
  }

  async endOwnedBy(owner: string, reason: string): Promise<void> {
    const owned = [...this.#actors.values()].filter((actor) => actor.owner === owner || actor.driver === owner)
    await Promise.all(owned.map((actor) => this.end(actor.id, reason)))
  }

  /** An actor has been asked to end itself. */
  stopping(processId: string): void {
    const actor = this.#byProcess.get(processId)
    if (actor) actor.ending = 'it was stopped'
  }

  /** A worker process has ended. */
  exited(processId: string, reason: string): void {
    const actor = this.#byProcess.get(processId)
    if (actor) this.#died(actor, actor.ending ?? reason)
  }

  nodeLost(nodeId: string, reason: string): void {
    for (const actor of [...this.#actors.values()]) if (actor.node.id === nodeId) this.#died(actor, reason)
  }

  countOn(nodeId: string): number {
    return [...this.#actors.values()].filter((actor) => actor.node.id === nodeId).length
  }

  /** Whose output a process's is. */
  originOf(processId: string): { name: string; driver: string | undefined } {
    const actor = this.#byProcess.get(processId)
    return { name: actor?.name ?? processId, driver: actor?.driver }
  }

  async #start(
    request: SpawnRequest,
    name: string,
    member: { coordinates?: Coordinates; rank?: number },
    node: Node,
    owner: string,
  ): Promise<ActorRecord> {
    const [id, processId] = [randomId(), randomId()]
    let started!: (error?: Error) => void
    const starting = new Promise<void>((resolve, reject) => {
      started = (error) => (error ? reject(error) : resolve())
    })
    const driver = this.#byProcess.get(owner)?.driver ?? owner
    const watchers = new Set<Peer>()
    const actor: Actor = {
      id,
      name,
      processId,
      node,
      owner,
      driver,
      watchers,
      pid: 0,
      tcp: undefined,
      ending: undefined,
      started,
    }
    this.#actors.set(id, actor)
    this.#byProcess.set(processId, actor)
    const { actorClass, dimensions, env } = request
    const spec: WorkerSpec = { processId, actorId: id, name, actorClass, dimensions, env, ...member }
    const timer = setTimeout(() => {
      void this.end(id, `its process did not start within ${START_TIMEOUT / 1000} s`)
    }, START_TIMEOUT)
    try {
      await Promise.all([starting, node.agent.startWorker(spec)])
    } finally {
      clearTimeout(timer)
    }
    const address = { processId, nodeId: node.id, ipc: ipcEndpoint(processId), tcp: actor.tcp }
    return { id, name, pid: actor.pid, address, generators: actorClass.generators }
  }

  #died(actor: Actor, reason: string): void {
    if (!this.#actors.delete(actor.id)) return
    this.#byProcess.delete(actor.processId)
    this.#names.delete(actor.name)
    this.#dead.set(actor.id, reason)
    if (this.#dead.size > REMEMBERED_DEAD) this.#dead.delete(this.#dead.keys().next().value!)
    actor.started(new ActorDiedError(actor.name, reason))
    for (const peer of actor.watchers) peer.notify('actorDied', actor.id, reason)
    void this.endOwnedBy(actor.processId, `its owner ${actor.name} died`)
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

  #nameMembers({ name, actorClass, members }: SpawnRequest): string[] {
    const names = members.map(({ coordinates }) => {
      if (coordinates) return `${name ?? actorClass.className}${formatCoordinates(coordinates)}`
      return name ?? this.#number(actorClass.className)
    })
    // Only a name that was chosen must be the only one of its kind.
    if (name !== undefined) {
      for (const taken of names) {
        if (this.#names.has(taken)) throw new InvalidInputError(`an actor named ${taken} lives already; choose another`)
      }
      for (const taken of names) this.#names.add(taken)
    }
    return names
  }

  #number(className: string): string {
    const number = (this.#numbers.get(className) ?? 0) + 1
    this.#numbers.set(className, number)
    return `${className}#${number}`
  }
}

function formatCoordinates(coordinates: Coordinates): string {
  return `[${Object.entries(coordinates).map(([dimension, index]) => `${dimension}=${index}`)}]`
}
