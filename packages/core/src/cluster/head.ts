import { availableParallelism } from 'node:os'
import { InvalidInputError, ObjectLostError, PortInUseError } from '../api/errors.js'
import type { ActorFailure, Decision } from '../api/hooks.js'
import { makeStore, type StoreOptions } from '../store/store.js'
import { control, type Remote, serve } from '../transport/control.js'
import { LinkLostError } from '../transport/link.js'
import type { Peer, PeerHandler } from '../transport/peer.js'
import type { Sealed } from '../transport/sealed.js'
import { ipcEndpoint, type ProcessAddress, Switchboard } from '../transport/switchboard.js'
import { ActorTable, type Owner } from './actor-table.js'
import { LeaseTable } from './lease-table.js'
import { LogBook } from './log-book.js'
import { NodeAgent } from './node-agent.js'
import type { ClusterInfo, DriverDuties, HeadRequests, NodeDeclaration, NodeNotices, NodeRequests } from './protocol.js'
import { ResourcePool, type Resources, resourcesOfHost } from './resources.js'
import { Scheduler } from './scheduler.js'
import { WorkerPool } from './worker-pool.js'

/** A node as the head keeps it. */
export interface Node {
  readonly id: string
  readonly host: string
  readonly pid: number
  readonly cpus: number
  readonly labels: Readonly<Record<string, string>>
  readonly pool: ResourcePool
  readonly agent: Remote<NodeRequests>
}

/** What the head serves to drivers and workers alike. */
type CommonRequests = Omit<HeadRequests, 'joinDriver' | 'joinNode' | 'joinWorker' | 'stopping' | 'failing' | 'leave'>

/** How a head is started. */
export interface HeadOptions {
  readonly processId: string
  readonly nodeId: string
  readonly clusterId: string
  /** Where to listen for other hosts; left out, the cluster stays within this host and ends with its driver. */
  readonly listen?: { readonly host: string; readonly port: number } | undefined
  /** What its node has beside or instead of what the host has. */
  readonly resources?: Resources | undefined
  readonly labels?: Readonly<Record<string, string>> | undefined
  /** Where the processes of its node keep what they share. */
  readonly store?: StoreOptions | undefined
}

/** The node that keeps the cluster's registry: who its nodes, drivers and actors are. */
export class Head {
  readonly #options: HeadOptions
  readonly #switchboard: Switchboard
  readonly #nodes = new Map<string, Node>()
  readonly #drivers = new Map<string, Peer>()
  readonly #workers = new WorkerPool()
  readonly #logs = new LogBook((name, line, driver) => this.#print(name, line, driver))
  readonly #actors: ActorTable
  readonly #scheduler: Scheduler
  readonly #leases: LeaseTable
  /** Placement groups by id, with the process and the driver that they belong to. */
  readonly #groups = new Map<string, Pick<Owner, 'processId' | 'driver'>>()
  readonly #agent: NodeAgent
  readonly #info: ClusterInfo
  /** Called when the driver that owns the cluster leaves. */
  onLeft: () => void = () => {}

  private constructor(options: HeadOptions, switchboard: Switchboard, address: ProcessAddress) {
    this.#options = options
    this.#switchboard = switchboard
    const store = makeStore(options.store)
    this.#info = { clusterId: options.clusterId, head: address, store: store.handle }
    const load = (id: string) => this.#actors.countOn(id)
    this.#scheduler = new Scheduler(this.#nodes, load, (text, driver) => this.#print('troupe', text, driver))
    this.#actors = new ActorTable(this.#nodes, this.#scheduler, this.#workers, (processId, failure) =>
      this.#askSupervisor(processId, failure),
    )
    this.#leases = new LeaseTable(this.#scheduler, this.#workers)
    const host = options.listen?.host ?? '127.0.0.1'
    const { nodeId, clusterId } = options
    this.#agent = new NodeAgent(
      {
        nodeId,
        clusterId,
        host,
        head: address,
        headEndpoint: address.ipc,
        listens: options.listen !== undefined,
        store,
      },
      this.#noticesOf(),
    )
    const { pid } = process
    const agent: Remote<NodeRequests> = {
      startWorker: async (spec) => this.#agent.startWorker(spec),
      endWorker: (processId) => this.#agent.endWorker(processId),
    }
    const pool = new ResourcePool(resourcesOfHost(options.resources))
    const labels = options.labels ?? {}
    this.#nodes.set(nodeId, { id: nodeId, host, pid, cpus: availableParallelism(), agent, pool, labels })
  }

  /**
   * Starts a head in this process.
   *
   * @throws PortInUseError if something else listens there
   * @throws InvalidInputError if the host is none of this machine's addresses
   */
  static async start(options: HeadOptions): Promise<Head> {
    const { processId, nodeId, listen } = options
    const switchboard = new Switchboard({ processId, nodeId })
    const ipc = ipcEndpoint(processId)
    const tcp = listen && `tcp://${listen.host}:${listen.port === 0 ? '*' : listen.port}`
    let head: Head | undefined
    const accept = (peer: Peer) => head!.#accept(peer)
    try {
      const [, bound] = await switchboard.listen(tcp ? [ipc, tcp] : [ipc], accept)
      head = new Head(options, switchboard, { processId, nodeId, ipc, tcp: bound })
      return head
    } catch (error) {
      switchboard.close()
      throw listen ? explainBind(error as NodeJS.ErrnoException, listen) : error
    }
  }

  /** Where other hosts reach this head: `HOST:PORT`. */
  get address(): string {
    return this.#info.head.tcp?.replace('tcp://', '') ?? ''
  }

  /** Ends all workers of this node, and then lets go of the other nodes, which end theirs. */
  async close(): Promise<void> {
    await this.#agent.close()
    await this.#switchboard.delivered()
    this.#switchboard.close()
  }

  #accept(peer: Peer): PeerHandler {
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
      return this.#info
    }
    return { call: (call) => void serve(methods, call), lost: () => lost() }
  }

  #driver(peer: Peer, namespace?: string) {
    const { processId } = peer.identity
    const owner: Owner = { processId, driver: processId, namespace: namespace ?? processId, isGone: false }
    this.#drivers.set(processId, peer)
    const leave = async () => {
      owner.isGone = true
      this.#drivers.delete(processId)
      this.#actors.forget(peer)
      await this.#ended(processId, 'its driver has ended')
      await this.#workers.driverGone(processId)
    }
    const leaving = async () => {
      await leave()
      if (!this.#options.listen) setImmediate(this.onLeft)
    }
    return { methods: { ...this.#common(peer, owner), leave: leaving }, lost: () => void leave() }
  }

  #node(peer: Peer, { host, pid, cpus, resources, labels }: NodeDeclaration) {
    const id = peer.identity.nodeId
    this.#nodes.set(id, { id, host, pid, cpus, labels, pool: new ResourcePool(resources), agent: control(peer) })
    this.#scheduler.nodesChanged()
    const lost = () => {
      this.#nodes.delete(id)
      this.#workers.nodeLost(id, `its node (${host}, process ${pid}) was lost`)
      this.#scheduler.nodesChanged()
    }
    return { methods: this.#noticesOf(), lost }
  }

  #worker(peer: Peer, { pid, tcp }: { pid: number; tcp?: string }) {
    const { processId } = peer.identity
    const worker = this.#workers.of(processId)
    if (!worker) throw new InvalidInputError(`no worker process ${processId} was started`)
    worker.join(peer, pid, tcp)
    const owner: Owner = {
      processId,
      isGone: false,
      get driver() {
        return worker.holder!.driver
      },
      get namespace() {
        return worker.holder!.namespace
      },
    }
    const methods = {
      ...this.#common(peer, owner),
      stopping: () => this.#actors.stopping(processId),
      failing: (error: unknown) => {
        worker.failure = error
      },
    }
    const lost = () => {
      owner.isGone = true
      this.#actors.forget(peer)
      for (const driver of this.#drivers.values()) driver.notify('holderGone' satisfies keyof DriverDuties, processId)
      void this.#ended(processId, `its owner ${worker.holder?.name} died`)
    }
    return { methods, lost }
  }

  #common(peer: Peer, owner: Owner): CommonRequests {
    return {
      spawn: (request) => this.#actors.spawn(request, owner),
      lookUp: (name, namespace) => this.#actors.lookUp(name, namespace ?? owner.namespace),
      watch: (actorId) => this.#actors.watch(actorId, peer),
      end: (actorId, reason) => this.#actors.end(actorId, reason),
      lease: (request) => this.#leases.lease(request, owner),
      endLease: (id, how) => this.#leases.end(id, how),
      askDriver: (driver, what, id) => this.#askDriver(driver, what, id, peer.identity.processId),
      prestart: () => {
        for (const node of this.#nodes.values()) this.#workers.prestart(node)
      },
      reserve: async (request) => {
        const { processId, driver } = owner
        const nodes = await this.#scheduler.reserve(request, driver)
        this.#groups.set(request.id, { processId, driver })
        if (owner.isGone) await this.#removeGroup(request.id)
        return nodes
      },
      removeGroup: (id) => this.#removeGroup(id),
      actors: () => this.#actors.list(),
      tasks: () => this.#leases.list(),
      groups: () => this.#scheduler.groups(),
      logs: (name) => this.#logs.lines(name),
      nodes: () =>
        [...this.#nodes.values()].map(({ id, host, pid, cpus, labels, pool }) => {
          const { total: resources, free } = pool
          return { id, host, pid, cpus, actors: this.#actors.countOn(id), resources, free, labels }
        }),
    }
  }

  /** What an owner decides about an actor; undefined where it has no supervisor, or has gone. */
  async #askSupervisor(processId: string, failure: ActorFailure): Promise<Decision | undefined> {
    const driver = this.#drivers.get(processId)
    const supervisor = driver ? control<DriverDuties>(driver) : this.#workers.of(processId)?.duties
    return supervisor?.supervise(failure).catch(() => undefined)
  }

  async #askDriver(
    driver: string,
    what: 'hold' | 'release' | 'fetch',
    id: string,
    holder: string,
  ): Promise<Sealed | undefined> {
    const peer = this.#drivers.get(driver)
    if (!peer) throw new ObjectLostError(`the value of the ref ${id} was lost with the driver that owned it`)
    const duties = control<DriverDuties>(peer)
    try {
      if (what === 'fetch') return await duties.fetchSealed(id)
      await (what === 'hold' ? duties.holdFor(id, holder) : duties.releaseFor(id, holder))
    } catch (error) {
      if (!(error instanceof LinkLostError)) throw error
      throw new ObjectLostError(`the value of the ref ${id} was lost with the driver that owned it`)
    }
    return undefined
  }

  async #removeGroup(id: string): Promise<void> {
    if (!this.#groups.delete(id)) return
    await this.#actors.endGroup(id)
    await this.#leases.endGroup(id)
    this.#scheduler.remove(id)
  }

  /** A process has gone: what it owned goes with it. */
  async #ended(processId: string, reason: string): Promise<void> {
    const groups = [...this.#groups].filter(([, owner]) => owner.processId === processId || owner.driver === processId)
    await Promise.all([
      this.#actors.endOwnedBy(processId, reason),
      this.#leases.endOwnedBy(processId),
      ...groups.map(([id]) => this.#removeGroup(id)),
    ])
  }

  #noticesOf(): NodeNotices {
    return {
      exited: (processId, death) => this.#workers.exited(processId, death),
      log: (processId, line) => this.#log(processId, line),
    }
  }

  /** The driver of a local cluster shares this process's stderr; other drivers are sent the lines of their actors. */
  #log(processId: string, line: string): void {
    const { name, driver } = this.#workers.of(processId)?.holder ?? { name: processId, driver: undefined }
    this.#logs.take(name, line, driver)
  }

  #print(name: string, line: string, driver: string | undefined): void {
    const peer = this.#options.listen && driver !== undefined ? this.#drivers.get(driver) : undefined
    if (peer) peer.notify('log', name, line)
    else process.stderr.write(`[${name}] ${line}\n`)
  }
}

function explainBind(error: NodeJS.ErrnoException, { host, port }: { host: string; port: number }): Error {
  switch (error.code) {
    case 'EADDRINUSE':
      return new PortInUseError(
        `port ${port} is in use on ${host}; choose another with --port or stop what listens there`,
      )
    case 'EADDRNOTAVAIL':
    case 'ENODEV':
      return new InvalidInputError(`${host} is no address of this machine; give one of its own with --host`)
    case 'EACCES':
      return new InvalidInputError(`port ${port} may not be opened by this user; choose one above 1023 with --port`)
    default:
      return error
  }
}
