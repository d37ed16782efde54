import { availableParallelism } from 'node:os'
import { InvalidInputError, ObjectLostError, PortInUseError } from '../common/errors.js'
import type { ActorFailure, Decision } from '../common/hooks.js'
import type { ReadDirectory } from '../node/directory-cache.js'
import { LineWriter } from '../node/line-writer.js'
import { NodeAgent } from '../node/node-agent.js'
import { OwnFolder } from '../node/own-folder.js'
import type { HeadOptions } from '../protocol/boot.js'
import type { DirectoryId } from '../protocol/directory-id.js'
import type {
  ActorStack,
  ClusterInfo,
  DriverService,
  HeadEvents,
  HeadService,
  NodeDeclaration,
  NodeEvents,
  NodeService,
} from '../protocol/protocol.js'
import { resourcesOfHost } from '../protocol/resources.js'
import { type Listing, listCluster } from '../protocol/running-clusters.js'
import { LogSender } from '../runtime/log-sender.js'
import { makeStore } from '../store/store.js'
import { control, type Remote, serve } from '../transport/control.js'
import { LinkLostError } from '../transport/link.js'
import type { Peer, PeerHandler } from '../transport/peer.js'
import { Secret } from '../transport/secret.js'
import { ipcEndpoint, type ProcessAddress, Switchboard } from '../transport/switchboard.js'
import { ActorTable, type Owner } from './actor-table.js'
import { Census } from './census.js'
import { DirectoryStore } from './directory-store.js'
import { LeaseTable } from './lease-table.js'
import { LocalPlace } from './local-place.js'
import { LogBook } from './log-book.js'
import { Meetings } from './meetings.js'
import { ResourcePool } from './resource-pool.js'
import { Scheduler } from './scheduler.js'
import { type WorkerHolder, WorkerPool } from './worker-pool.js'

/** A node as the head keeps it. */
export interface Node {
  readonly id: string
  readonly host: string
  readonly pid: number
  readonly cpus: number
  readonly labels: Readonly<Record<string, string>>
  readonly pool: ResourcePool
  readonly agent: Remote<NodeService>
}

/** What the head serves to drivers and workers alike. */
type CommonRequests = Omit<
  HeadService,
  | 'joinDriver'
  | 'joinNode'
  | 'joinWorker'
  | 'mustFinish'
  | 'stopping'
  | 'finished'
  | 'finishNode'
  | 'failing'
  | 'spare'
  | 'imported'
  | 'leave'
  | 'offerDirectory'
  | 'sendDirectory'
  | 'enterDirectory'
  | 'readDirectory'
>

/** The node that keeps the cluster's registry: who its nodes, drivers and actors are. */
export class Head {
  readonly #options: HeadOptions
  readonly #switchboard: Switchboard
  readonly #nodes = new Map<string, Node>()
  readonly #drivers = new Map<string, Peer>()
  readonly #workers = new WorkerPool()
  readonly #logs = new LogBook((line, driver) => this.#print(line, driver))
  readonly #actors: ActorTable
  readonly #scheduler: Scheduler
  readonly #leases: LeaseTable
  readonly #census: Census
  /** Placement groups by id, with the process and the driver that they belong to. */
  readonly #groups = new Map<string, Pick<Owner, 'processId' | 'driver'>>()
  readonly #logSenders = new WeakMap<Peer, LogSender>()
  readonly #output = new LineWriter(process.stderr)
  readonly #meetings = new Meetings()
  readonly #agent: NodeAgent
  readonly #folder = new OwnFolder()
  readonly #directories = new DirectoryStore(this.#folder)
  /** The working directory of each driver that has one. */
  readonly #entered = new Map<string, DirectoryId>()
  readonly #info: ClusterInfo
  readonly #listing: Listing
  /** Called when the driver that owns the cluster begins to leave. */
  onLeaving: () => void = () => {}
  /** Called when it has left. */
  onLeft: () => void = () => {}

  private constructor(options: HeadOptions, switchboard: Switchboard, address: ProcessAddress) {
    this.#options = options
    this.#switchboard = switchboard
    const store = makeStore(options.store)
    this.#info = { clusterId: options.clusterId, head: address, store: store.handle }
    const load = (id: string) => this.#actors.countOn(id)
    this.#scheduler = new Scheduler(this.#nodes, load, (text, driver) => this.#print(`[troupe] ${text}`, driver))
    this.#actors = new ActorTable(this.#nodes, this.#scheduler, this.#workers, {
      supervise: (processId, failure) => this.#askSupervisor(processId, failure),
      unhandled: (driver, failure) => {
        this.#drivers.get(driver)?.notify('unhandled' satisfies keyof DriverService, failure)
      },
      undecided: (driver, { name, reason }, processes) => {
        const who = processes.map((id) => this.#workers.of(id)?.holder?.name ?? 'the driver').join(', ')
        const text = `actor ${name} died: ${reason}; whether that is handled is not known, as ${who} has not answered since`
        this.#print(`[troupe] ${text}`, driver)
      },
      driver: (processId) => this.#drivers.get(processId),
    })
    this.#leases = new LeaseTable(this.#scheduler, this.#workers)
    this.#census = new Census(this.#drivers, this.#workers, this.#leases)
    const host = options.listen?.host ?? '127.0.0.1'
    const { nodeId, clusterId, secret } = options
    const listens = options.listen !== undefined
    const settings = { nodeId, clusterId, secret, host, head: address, headEndpoint: address.ipc, listens, store }
    const readDirectory: ReadDirectory = (id, offset) => this.#directories.read(id, offset)
    this.#agent = new NodeAgent(settings, this.#noticesOf(), readDirectory, options.nodeFlags)
    const { pid } = process
    const agent: Remote<NodeService> = {
      startWorker: async (spec) => this.#agent.startWorker(spec),
      endWorker: (processId) => this.#agent.endWorker(processId),
      stackOf: (processId) => this.#agent.stackOf(processId),
      hadToRun: async (processId) => this.#agent.hadToRun(processId),
      prepareDirectory: (id) => this.#agent.prepareDirectory(id),
      dropDirectory: (id) => this.#agent.dropDirectory(id),
    }
    const pool = new ResourcePool(resourcesOfHost(options.resources))
    const labels = options.labels ?? {}
    this.#nodes.set(nodeId, { id: nodeId, host, pid, cpus: availableParallelism(), agent, pool, labels })
    this.#listing = listCluster({
      id: clusterId,
      address: this.address || address.ipc,
      secret: switchboard.secret,
      nodeId,
      program: options.program.name,
      pid: options.program.pid,
      startedAt: new Date(),
    })
  }

  /**
   * Starts a head in this process.
   *
   * @throws PortInUseError if something else listens there
   * @throws InvalidInputError if the host is none of this machine's addresses
   */
  static async start(options: HeadOptions): Promise<Head> {
    const { processId, nodeId, listen } = options
    const switchboard = new Switchboard({ processId, nodeId }, new Secret(options.secret))
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

  /** The processes of workers that have not ended, as a text. */
  get running(): string {
    return this.#workers.running().join(', ') || 'none'
  }

  /** Ends all actors and the workers of this node, and then lets go of the other nodes, which end theirs. */
  async close(): Promise<void> {
    this.#listing.remove()
    await this.#actors.endAll('the cluster has ended')
    await this.#agent.close()
    await this.#output.flush()
    this.#folder.remove()
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
    const place = new LocalPlace(peer, this.#workers)
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
    this.#drivers.set(processId, peer)
    const leave = async () => {
      owner.isGone = true
      this.#drivers.delete(processId)
      this.#actors.forget(peer)
      await this.#ended(processId, 'its driver has ended')
      await this.#workers.driverGone(processId)
      this.#entered.delete(processId)
      await this.#directories.senderGone(processId)
      await this.#dropDirectories()
    }
    const leaving = async () => {
      const isLast = processId === this.#options.driver
      if (isLast) this.onLeaving()
      this.#logs.flush(processId)
      await leave()
      if (isLast) setImmediate(this.onLeft)
    }
    const methods = {
      ...this.#common(peer, owner),
      leave: leaving,
      offerDirectory: (id: DirectoryId) => this.#directories.offer(id, processId),
      sendDirectory: (id: DirectoryId, bytes: Uint8Array) => this.#directories.append(id, processId, bytes),
      enterDirectory: async (id: DirectoryId) => {
        if (!this.#directories.has(id)) await this.#directories.finish(id, processId)
        this.#entered.set(processId, id)
      },
    }
    return { methods, lost: () => void leave() }
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
    const readDirectory = (id: DirectoryId, offset: number) => this.#directories.read(id, offset)
    const finishNode = () => this.#actors.finishOn(id)
    return { methods: { ...this.#noticesOf(), readDirectory, finishNode }, lost }
  }

  #worker(peer: Peer, { pid, tcp }: { pid: number; tcp?: string }) {
    const { processId } = peer.identity
    const worker = this.#workers.of(processId)
    if (!worker) throw new InvalidInputError(`no worker process ${processId} was started`)
    worker.join(peer, pid, tcp)
    const owner: Owner = {
      processId,
      place: new LocalPlace(peer, this.#workers),
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
    const methods = {
      ...this.#common(peer, owner),
      mustFinish: () => this.#actors.mustFinish(processId),
      stopping: () => this.#actors.stopping(processId),
      finished: () => this.#actors.finished(processId),
      spare: () => this.#workers.spared(worker),
      imported: (what: string) => worker.imported(what),
      failing: (error: unknown) => {
        worker.failure = error
      },
    }
    const lost = () => {
      owner.isGone = true
      this.#actors.forget(peer)
      for (const driver of this.#drivers.values()) driver.notify('holderGone' satisfies keyof DriverService, processId)
      void this.#ended(processId, `its owner ${worker.holder?.name} died`)
      if (worker.node instanceof LocalPlace) worker.node.workerLost(worker)
    }
    return { methods, lost }
  }

  #common(peer: Peer, owner: Owner): CommonRequests {
    return {
      spawn: (request) => this.#actors.spawn(request, owner),
      lookUp: (name, namespace) => this.#actors.lookUp(name, namespace ?? owner.namespace),
      watch: (actorId, lost) => this.#actors.watch(actorId, peer, lost),
      end: (actorId, reason) => this.#actors.end(actorId, reason),
      lease: (request) => this.#leases.lease(request, owner),
      endLease: (id, how) => this.#leases.end(id, how),
      blocked: () => this.#leases.block(owner.processId),
      unblocked: (lease) => this.#leases.unblock(lease),
      askDriver: (driver, what, id) => this.#askDriver(driver, what, id, peer.identity.processId),
      fetchFromDriver: (driver, id, lost) => {
        return this.#withDriver(driver, id, (duties) => duties.fetchSealed(id, peer.identity, lost))
      },
      openedFromDriver: (driver, pin) => this.#drivers.get(driver)?.notify('opened' satisfies keyof DriverService, pin),
      noticed: (actorId) => this.#actors.noticed(actorId),
      broadcastFailed: (actor, text) => {
        const source = this.#actors.broadcastFailed(actor.id) ?? { ...actor, driver: owner.driver }
        for (const line of text.split('\n')) this.#logs.take({ prefix: `[${actor.name}] `, ...source }, line)
      },
      reclaim: (pids) => this.#census.collect(peer.identity.nodeId, pids),
      prestart: () => {
        for (const node of this.#nodes.values()) this.#workers.prestart(node)
      },
      reserve: async (request) => {
        const { processId, driver } = owner
        const nodes = await this.#scheduler.reserve(request, owner)
        this.#groups.set(request.id, { processId, driver })
        if (owner.isGone) await this.#removeGroup(request.id)
        return nodes
      },
      removeGroup: (id) => this.#removeGroup(id),
      meet: (id, rank, size, value) => this.#meetings.meet(id, rank, size, value),
      leaveMeeting: (id, reason) => this.#meetings.leave(id, reason),
      actors: () => this.#actors.list(),
      tasks: () => this.#census.tasks(),
      objects: () => this.#census.objects(),
      stack: (actor) => this.#stack(actor),
      groups: () => this.#scheduler.groups(),
      logs: (name) => this.#logs.lines(name),
      nodes: () =>
        [...this.#nodes.values()].map(({ id, host, pid, cpus, labels, pool }) => {
          const { total: resources, free } = pool
          return { id, host, pid, cpus, actors: this.#actors.countOn(id), resources, free, labels }
        }),
    }
  }

  async #stack(actor: string): Promise<ActorStack> {
    const { name, worker } = this.#actors.processOf(actor)
    const stack = await worker.unlessExited(worker.node.agent.stackOf(worker.processId))
    return { name, pid: worker.pid, nodeId: worker.node.id, ...stack }
  }

  /** Drops the working directories that nobody is in, but for the latest. */
  async #dropDirectories(): Promise<void> {
    const entered = new Set([...this.#entered.values(), ...this.#actors.directories()])
    for (const id of await this.#directories.trim((id) => entered.has(id))) {
      for (const { agent } of this.#nodes.values()) void agent.dropDirectory(id).catch(() => {})
    }
  }

  /** What an owner decides about an actor; undefined where it has no supervisor, or has gone. */
  async #askSupervisor(processId: string, failure: ActorFailure): Promise<Decision | undefined> {
    const driver = this.#drivers.get(processId)
    const supervisor = driver ? control<DriverService>(driver) : this.#workers.of(processId)?.duties
    return supervisor?.supervise(failure).catch(() => undefined)
  }

  async #askDriver(driver: string, what: 'hold' | 'release', id: string, holder: string): Promise<void> {
    await this.#withDriver(driver, id, (duties) => {
      return what === 'hold' ? duties.holdFor(id, holder) : duties.releaseFor(id, holder)
    })
  }

  async #withDriver<T>(driver: string, id: string, ask: (duties: Remote<DriverService>) => Promise<T>): Promise<T> {
    const peer = this.#drivers.get(driver)
    if (!peer) throw new ObjectLostError(`the value of the ref ${id} was lost with the driver that owned it`)
    try {
      return await ask(control<DriverService>(peer))
    } catch (error) {
      if (!(error instanceof LinkLostError)) throw error
      throw new ObjectLostError(`the value of the ref ${id} was lost with the driver that owned it`)
    }
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
    this.#scheduler.drop((demand) => demand.owner === processId || demand.driver === processId)
    await Promise.all([
      this.#actors.endOwnedBy(processId, reason),
      this.#leases.endOwnedBy(processId),
      ...groups.map(([id]) => this.#removeGroup(id)),
    ])
  }

  #noticesOf(): NodeEvents {
    return {
      exited: (processId, death) => this.#workers.exited(processId, death),
      log: (processId, line) => this.#log(processId, line),
    }
  }

  /** The driver of a local cluster shares this process's stderr; other drivers are sent the lines of their actors. */
  #log(processId: string, line: string): void {
    const { name, driver, logPrefix }: Partial<WorkerHolder> = this.#workers.of(processId)?.holder ?? {}
    const source = { name: name ?? processId, driver, prefix: logPrefix ?? `[${name ?? processId}] ` }
    this.#logs.take(source, line)
  }

  #logTo(peer: Peer): LogSender {
    let sender = this.#logSenders.get(peer)
    if (!sender) {
      sender = new LogSender((line) => control<HeadEvents>(peer).log(line))
      this.#logSenders.set(peer, sender)
    }
    return sender
  }

  #print(line: string, driver: string | undefined): void {
    const { driver: starter, relaysLines } = this.#options
    const isShared = driver === starter && !relaysLines
    const peer = driver !== undefined && !isShared ? this.#drivers.get(driver) : undefined
    if (peer) this.#logTo(peer).send(line)
    else this.#output.write(line)
  }
}

function explainBind(error: NodeJS.ErrnoException, { host, port }: { host: string; port: number }): Error {
  switch (error.code) {
    case 'EADDRINUSE':
      return new PortInUseError(`port ${port} is in use on ${host}; choose another one or stop what listens there`)
    case 'EADDRNOTAVAIL':
    case 'ENODEV':
      return new InvalidInputError(`${host} is no address of this machine; give one of its own`)
    case 'EACCES':
      return new InvalidInputError(`port ${port} may not be opened by this user; choose one above 1023`)
    default:
      return error
  }
}
