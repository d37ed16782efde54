import { InvalidInputError } from '../common/errors.js'
import type { DirectoryId } from '../protocol/directory-id.js'
import type { ActorStack } from '../protocol/listing.js'
import type { NodeDeclaration } from '../protocol/placement.js'
import type {
  ClusterInfo,
  ClusterService,
  DriverSession,
  NodeEvents,
  NodeSession,
  WorkerSession,
} from '../protocol/services.js'
import { control, serve } from '../transport/control.js'
import type { PeerHandler } from '../transport/handlers.js'
import type { Peer } from '../transport/peer.js'
import type { ActorRegistry } from './actor-registry.js'
import type { ActorTable } from './actor-table.js'
import type { ClusterScheduler } from './cluster-scheduler.js'
import type { ClusterState } from './cluster-state.js'
import type { DirectoryStore } from './directory-store.js'
import type { DriverConnections } from './driver-connections.js'
import type { LeaseTable } from './lease-table.js'
import { LocalPlace } from './local-place.js'
import type { LogBook } from './log-book.js'
import type { Node, Owner } from './records.js'
import type { Rendezvous } from './rendezvous.js'
import { ResourcePool } from './resource-pool.js'
import type { WorkerPool } from './worker-pool.js'

/** The parts that the head is composed of. */
export interface HeadParts {
  readonly info: ClusterInfo
  readonly nodes: Map<string, Node>
  readonly drivers: DriverConnections
  readonly workers: WorkerPool
  readonly actors: ActorTable
  readonly registry: ActorRegistry
  readonly scheduler: ClusterScheduler
  readonly leases: LeaseTable
  readonly clusterState: ClusterState
  readonly logs: LogBook
  readonly directories: DirectoryStore
  readonly rendezvous: Rendezvous
  /** Handlers of the notices that node agents send. */
  readonly nodeEvents: NodeEvents
  /** The driver that the cluster ends with, if it does with one. */
  readonly owner: string | undefined
  /** That driver begins to leave. */
  onLeaving(): void
  /** It has left. */
  onLeft(): void
}

/** Serves drivers, workers and nodes over their connections, and acts on their loss. */
export class Sessions {
  /** Placement groups by id, with the process and the driver that they belong to. */
  readonly #groups = new Map<string, Pick<Owner, 'processId' | 'driver'>>()
  /** The working directory of each driver that has one. */
  readonly #entered = new Map<string, DirectoryId>()

  constructor(private readonly parts: HeadParts) {}

  /** Serves a connection: first the joining, then what the role is served that it joins in. */
  accept(peer: Peer): PeerHandler {
    const joining = {
      joinDriver: (driver: { namespace?: string }) => become(this.#driver(peer, driver.namespace)),
      joinNode: (node: NodeDeclaration) => become(this.#node(peer, node)),
      joinWorker: (worker: { pid: number; tcp?: string }) => become(this.#worker(peer, worker)),
    }
    let methods: object = joining
    let lost = () => {}
    const become = (role: { methods: object; lost: () => void }): ClusterInfo => {
      methods = role.methods
      lost = role.lost
      return this.parts.info
    }
    return { call: (call) => void serve(methods, call), lost: () => lost() }
  }

  #driver(peer: Peer, namespace?: string) {
    const { processId } = peer.identity
    const place = new LocalPlace(peer, this.parts.workers)
    const directory = () => this.#entered.get(processId)
    const owner: Owner = {
      processId,
      driver: processId,
      namespace: namespace ?? processId,
      place,
      isGone: false,
      get directory() {
        return directory()
      },
    }
    this.parts.drivers.add(processId, peer)
    const leave = async () => {
      owner.isGone = true
      this.parts.drivers.remove(processId)
      this.parts.registry.forget(peer)
      await this.#ended(processId, 'its driver has ended')
      await this.parts.workers.driverGone(processId)
      this.#entered.delete(processId)
      await this.parts.directories.senderGone(processId)
      await this.#dropDirectories()
    }
    const leaving = async () => {
      const isLast = processId === this.parts.owner
      if (isLast) this.parts.onLeaving()
      this.parts.logs.flush(processId)
      await leave()
      if (isLast) setImmediate(() => this.parts.onLeft())
    }
    const session: DriverSession = {
      leave: leaving,
      offerDirectory: (id) => this.parts.directories.offer(id, processId),
      sendDirectory: (id, bytes) => this.parts.directories.append(id, processId, bytes),
      enterDirectory: async (id) => {
        if (!this.parts.directories.has(id)) await this.parts.directories.finish(id, processId)
        this.#entered.set(processId, id)
      },
    }
    return { methods: { ...this.#common(peer, owner), ...session }, lost: () => void leave() }
  }

  #node(peer: Peer, { host, pid, cpus, resources, labels }: NodeDeclaration) {
    const id = peer.identity.nodeId
    this.parts.nodes.set(id, { id, host, pid, cpus, labels, pool: new ResourcePool(resources), agent: control(peer) })
    this.parts.scheduler.nodesChanged()
    const lost = () => {
      this.parts.nodes.delete(id)
      this.parts.workers.nodeLost(id, `its node (${host}, process ${pid}) was lost`)
      this.parts.scheduler.nodesChanged()
    }
    const session: NodeSession = {
      readDirectory: (directory, offset) => this.parts.directories.read(directory, offset),
      finishNode: () => this.parts.actors.finishOn(id),
    }
    return { methods: { ...this.parts.nodeEvents, ...session }, lost }
  }

  #worker(peer: Peer, { pid, tcp }: { pid: number; tcp?: string }) {
    const { processId } = peer.identity
    const worker = this.parts.workers.of(processId)
    if (!worker) throw new InvalidInputError(`no worker process ${processId} was started`)
    worker.join(peer, pid, tcp)
    const owner: Owner = {
      processId,
      place: new LocalPlace(peer, this.parts.workers),
      isGone: false,
      get driver() {
        return worker.holder!.driver
      },
      get namespace() {
        return worker.holder!.namespace
      },
      get directory() {
        return worker.holder!.directory
      },
    }
    const session: WorkerSession = {
      mustFinish: () => this.parts.actors.mustFinish(processId),
      stopping: () => this.parts.actors.stopping(processId),
      finished: () => this.parts.actors.finished(processId),
      spare: () => this.parts.workers.spared(worker),
      imported: (what) => worker.imported(what),
      failing: (error) => {
        worker.failure = error
      },
      blocked: () => this.parts.leases.block(processId),
      unblocked: (lease) => this.parts.leases.unblock(lease),
    }
    const lost = () => {
      owner.isGone = true
      this.parts.registry.forget(peer)
      this.parts.drivers.holderGone(processId)
      void this.#ended(processId, `its owner ${worker.holder?.name} died`)
      if (worker.node instanceof LocalPlace) worker.node.workerLost(worker)
    }
    return { methods: { ...this.#common(peer, owner), ...session }, lost }
  }

  #common(peer: Peer, owner: Owner): ClusterService {
    return {
      spawn: (request) => this.parts.actors.spawn(request, owner),
      lookUp: (name, namespace) => this.parts.registry.lookUp(name, namespace ?? owner.namespace),
      watch: (actorId, lost) => this.parts.actors.watch(actorId, peer, lost),
      end: (actorId, reason) => this.parts.actors.end(actorId, reason),
      lease: (request) => this.parts.leases.lease(request, owner),
      endLease: (id, how) => this.parts.leases.end(id, how),
      askDriver: (driver, what, id) => this.parts.drivers.ask(driver, what, id, peer.identity.processId),
      fetchFromDriver: (driver, id, lost) => this.parts.drivers.fetch(driver, id, peer.identity, lost),
      openedFromDriver: (driver, pin) => this.parts.drivers.opened(driver, pin),
      noticed: (actorId) => this.parts.actors.noticed(actorId),
      broadcastFailed: (actor, text) => {
        const source = this.parts.actors.broadcastFailed(actor.id) ?? { ...actor, driver: owner.driver }
        for (const line of text.split('\n')) this.parts.logs.take({ prefix: `[${actor.name}] `, ...source }, line)
      },
      reclaim: (pids) => this.parts.clusterState.collect(peer.identity.nodeId, pids),
      prestart: () => {
        for (const node of this.parts.nodes.values()) this.parts.workers.prestart(node)
      },
      reserve: async (request) => {
        const { processId, driver } = owner
        const nodes = await this.parts.scheduler.reserve(request, owner)
        this.#groups.set(request.id, { processId, driver })
        if (owner.isGone) await this.#removeGroup(request.id)
        return nodes
      },
      removeGroup: (id) => this.#removeGroup(id),
      meet: (id, rank, size, value) => this.parts.rendezvous.meet(id, rank, size, value),
      leaveMeeting: (id, reason) => this.parts.rendezvous.leave(id, reason),
      actors: () => this.parts.registry.list(),
      tasks: () => this.parts.clusterState.tasks(),
      objects: () => this.parts.clusterState.objects(),
      stack: (actor) => this.#stack(actor),
      groups: () => this.parts.scheduler.groups(),
      logs: (name) => this.parts.logs.lines(name),
      nodes: () =>
        [...this.parts.nodes.values()].map(({ id, host, pid, cpus, labels, pool }) => {
          const { total: resources, free } = pool
          return { id, host, pid, cpus, actors: this.parts.registry.countOn(id), resources, free, labels }
        }),
    }
  }

  async #stack(actor: string): Promise<ActorStack> {
    const { name, worker } = this.parts.registry.processOf(actor)
    const stack = await worker.unlessExited(worker.node.agent.stackOf(worker.processId))
    return { name, pid: worker.pid, nodeId: worker.node.id, ...stack }
  }

  /** Drops the working directories that nobody is in, but for the latest. */
  async #dropDirectories(): Promise<void> {
    const entered = new Set([...this.#entered.values(), ...this.parts.registry.directories()])
    for (const id of await this.parts.directories.trim((id) => entered.has(id))) {
      for (const { agent } of this.parts.nodes.values()) void agent.dropDirectory(id).catch(() => {})
    }
  }

  async #removeGroup(id: string): Promise<void> {
    if (!this.#groups.delete(id)) return
    await this.parts.actors.endGroup(id)
    await this.parts.leases.endGroup(id)
    this.parts.scheduler.remove(id)
  }

  /** A process has gone: what it owned goes with it. */
  async #ended(processId: string, reason: string): Promise<void> {
    const groups = [...this.#groups].filter(([, owner]) => owner.processId === processId || owner.driver === processId)
    this.parts.scheduler.drop((demand) => demand.owner === processId || demand.driver === processId)
    await Promise.all([
      this.parts.actors.endOwnedBy(processId, reason),
      this.parts.leases.endOwnedBy(processId),
      ...groups.map(([id]) => this.#removeGroup(id)),
    ])
  }
}
