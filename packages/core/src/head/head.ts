import { availableParallelism } from 'node:os'
import { InvalidInputError, PortInUseError } from '../common/errors.js'
import type { ReadDirectory } from '../node/directory-cache.js'
import { LineWriter } from '../node/line-writer.js'
import { NodeAgent } from '../node/node-agent.js'
import { OwnFolder } from '../node/own-folder.js'
import type { HeadOptions } from '../protocol/boot.js'
import { resourcesOfHost } from '../protocol/resources.js'
import { type Listing, listCluster } from '../protocol/running-clusters.js'
import type { ClusterInfo, NodeEvents, NodeService } from '../protocol/services.js'
import { makeStore } from '../store/store.js'
import { ConnectionManager, ipcEndpoint, type ProcessAddress } from '../transport/connection-manager.js'
import type { Remote } from '../transport/control.js'
import type { Peer } from '../transport/peer.js'
import { Secret } from '../transport/secret.js'
import { ActorRegistry } from './actor-registry.js'
import { ActorTable } from './actor-table.js'
import { ClusterScheduler } from './cluster-scheduler.js'
import { ClusterState } from './cluster-state.js'
import { DirectoryStore } from './directory-store.js'
import { DriverConnections } from './driver-connections.js'
import { LeaseTable } from './lease-table.js'
import { LogBook } from './log-book.js'
import type { Node } from './records.js'
import { Rendezvous } from './rendezvous.js'
import { ResourcePool } from './resource-pool.js'
import { Sessions } from './sessions.js'
import { type WorkerHolder, WorkerPool } from './worker-pool.js'

/** The node that keeps the cluster's registry: who its nodes, drivers and actors are. */
export class Head {
  readonly #options: HeadOptions
  readonly #connections: ConnectionManager
  readonly #nodes = new Map<string, Node>()
  readonly #workers = new WorkerPool()
  readonly #drivers = new DriverConnections(this.#workers)
  readonly #logs = new LogBook((line, driver) => this.#print(line, driver))
  readonly #actors: ActorTable
  readonly #scheduler: ClusterScheduler
  readonly #output = new LineWriter(process.stderr)
  readonly #agent: NodeAgent
  readonly #folder = new OwnFolder()
  readonly #directories = new DirectoryStore(this.#folder)
  readonly #sessions: Sessions
  readonly #info: ClusterInfo
  readonly #listing: Listing
  /** Called when the driver that owns the cluster begins to leave. */
  onLeaving: () => void = () => {}
  /** Called when it has left. */
  onLeft: () => void = () => {}

  private constructor(options: HeadOptions, connections: ConnectionManager, address: ProcessAddress) {
    this.#options = options
    this.#connections = connections
    const store = makeStore(options.store)
    this.#info = { clusterId: options.clusterId, head: address, store: store.handle }
    const registry = new ActorRegistry()
    const load = (id: string) => registry.countOn(id)
    this.#scheduler = new ClusterScheduler(this.#nodes, load, (text, driver) => this.#print(`[troupe] ${text}`, driver))
    this.#actors = new ActorTable(this.#nodes, registry, this.#scheduler, this.#workers, {
      supervise: (processId, failure) => this.#drivers.supervise(processId, failure),
      unhandled: (driver, failure) => this.#drivers.unhandled(driver, failure),
      undecided: (driver, { name, reason }, processes) => {
        const who = processes.map((id) => this.#workers.of(id)?.holder?.name ?? 'the driver').join(', ')
        const text = `actor ${name} died: ${reason}; whether that is handled is not known, as ${who} has not answered since`
        this.#print(`[troupe] ${text}`, driver)
      },
      driver: (processId) => this.#drivers.peers.get(processId),
    })
    const leases = new LeaseTable(this.#scheduler, this.#workers)
    const host = options.listen?.host ?? '127.0.0.1'
    const { nodeId, clusterId, secret } = options
    const listens = options.listen !== undefined
    const settings = { nodeId, clusterId, secret, host, head: address, headEndpoint: address.ipc, listens, store }
    const nodeEvents = this.#nodeEvents()
    const readDirectory: ReadDirectory = (id, offset) => this.#directories.read(id, offset)
    this.#agent = new NodeAgent(settings, nodeEvents, readDirectory, options.nodeFlags)
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
    this.#sessions = new Sessions({
      info: this.#info,
      nodes: this.#nodes,
      drivers: this.#drivers,
      workers: this.#workers,
      actors: this.#actors,
      registry,
      scheduler: this.#scheduler,
      leases,
      clusterState: new ClusterState(this.#drivers.peers, this.#workers, leases),
      logs: this.#logs,
      directories: this.#directories,
      rendezvous: new Rendezvous(),
      nodeEvents,
      owner: options.driver,
      onLeaving: () => this.onLeaving(),
      onLeft: () => this.onLeft(),
    })
    this.#listing = listCluster({
      id: clusterId,
      address: this.address || address.ipc,
      secret: connections.secret,
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
    const connections = new ConnectionManager({ processId, nodeId }, new Secret(options.secret))
    const ipc = ipcEndpoint(processId)
    const tcp = listen && `tcp://${listen.host}:${listen.port === 0 ? '*' : listen.port}`
    let head: Head | undefined
    const accept = (peer: Peer) => head!.#sessions.accept(peer)
    try {
      const [, bound] = await connections.listen(tcp ? [ipc, tcp] : [ipc], accept)
      head = new Head(options, connections, { processId, nodeId, ipc, tcp: bound })
      return head
    } catch (error) {
      connections.close()
      throw listen ? explainBind(error as NodeJS.ErrnoException, listen) : error
    }
  }

  /** The address at which other hosts reach this head: `HOST:PORT`. */
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
    await this.#connections.delivered()
    this.#connections.close()
  }

  #nodeEvents(): NodeEvents {
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

  #print(line: string, driver: string | undefined): void {
    const { driver: starter, relaysLines } = this.#options
    const isShared = driver === starter && !relaysLines
    const isSent = driver !== undefined && !isShared && this.#drivers.log(driver, line)
    if (!isSent) this.#output.write(line)
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
