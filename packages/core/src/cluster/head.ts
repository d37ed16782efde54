import { availableParallelism } from 'node:os'
import { InvalidInputError, PortInUseError } from '../api/errors.js'
import { control, type Remote, serve } from '../transport/control.js'
import type { Peer, PeerHandler } from '../transport/peer.js'
import { ipcEndpoint, type ProcessAddress, Switchboard } from '../transport/switchboard.js'
import { ActorTable, type Owner } from './actor-table.js'
import { NodeAgent } from './node-agent.js'
import type { ClusterInfo, HeadRequests, NodeNotices, NodeRequests } from './protocol.js'
import { WorkerPool } from './worker-pool.js'

/** A node as the head keeps it. */
export interface Node {
  readonly id: string
  readonly host: string
  readonly pid: number
  readonly cpus: number
  readonly agent: Remote<NodeRequests>
}

/** How a head is started. */
export interface HeadOptions {
  readonly processId: string
  readonly nodeId: string
  readonly clusterId: string
  /** Where to listen for other hosts; left out, the cluster stays within this host and ends with its driver. */
  readonly listen?: { readonly host: string; readonly port: number } | undefined
}

/** The node that keeps the cluster's registry: who its nodes, drivers and actors are. */
export class Head {
  readonly #options: HeadOptions
  readonly #switchboard: Switchboard
  readonly #nodes = new Map<string, Node>()
  readonly #drivers = new Map<string, Peer>()
  readonly #workers = new WorkerPool()
  readonly #actors: ActorTable
  readonly #agent: NodeAgent
  readonly #info: ClusterInfo
  /** Called when the driver that owns the cluster leaves. */
  onLeft: () => void = () => {}

  private constructor(options: HeadOptions, switchboard: Switchboard, address: ProcessAddress) {
    this.#options = options
    this.#switchboard = switchboard
    this.#info = { clusterId: options.clusterId, head: address }
    this.#actors = new ActorTable(this.#nodes, this.#workers)
    const host = options.listen?.host ?? '127.0.0.1'
    const { nodeId, clusterId } = options
    this.#agent = new NodeAgent(
      { nodeId, clusterId, host, head: address, headEndpoint: address.ipc, listens: options.listen !== undefined },
      this.#noticesOf(),
    )
    const { pid } = process
    const agent: Remote<NodeRequests> = {
      startWorker: async (spec) => this.#agent.startWorker(spec),
      endWorker: (processId) => this.#agent.endWorker(processId),
    }
    this.#nodes.set(nodeId, { id: nodeId, host, pid, cpus: availableParallelism(), agent })
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
      joinNode: (node: { host: string; pid: number; cpus: number }) => become(this.#node(peer, node)),
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
    const owner: Owner = { processId, driver: processId, namespace: namespace ?? processId }
    this.#drivers.set(processId, peer)
    const leave = async () => {
      this.#drivers.delete(processId)
      this.#actors.forget(peer)
      await this.#actors.endOwnedBy(processId, 'its driver has ended')
    }
    const leaving = async () => {
      await leave()
      if (!this.#options.listen) setImmediate(this.onLeft)
    }
    return { methods: { ...this.#common(peer, owner), leave: leaving }, lost: () => void leave() }
  }

  #node(peer: Peer, { host, pid, cpus }: { host: string; pid: number; cpus: number }) {
    const id = peer.identity.nodeId
    this.#nodes.set(id, { id, host, pid, cpus, agent: control<NodeRequests>(peer) })
    const lost = () => {
      this.#nodes.delete(id)
      this.#workers.nodeLost(id, `its node (${host}, process ${pid}) was lost`)
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
    return { methods, lost: () => this.#actors.forget(peer) }
  }

  #common(peer: Peer, owner: Owner): Pick<HeadRequests, 'spawn' | 'lookUp' | 'watch' | 'end' | 'nodes'> {
    return {
      spawn: (request) => this.#actors.spawn(request, owner),
      lookUp: (name, namespace) => this.#actors.lookUp(name, namespace ?? owner.namespace),
      watch: (actorId) => this.#actors.watch(actorId, peer),
      end: (actorId, reason) => this.#actors.end(actorId, reason),
      nodes: () =>
        [...this.#nodes.values()].map(({ id, host, pid, cpus }) => {
          return { id, host, pid, cpus, actors: this.#actors.countOn(id) }
        }),
    }
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
