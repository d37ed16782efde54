import { availableParallelism } from 'node:os'
import { Deferred } from '../common/deferred.js'
import { ClusterLostError } from '../common/errors.js'
import type { WorkerSpec } from '../protocol/actor.js'
import type { DirectoryId } from '../protocol/directory-id.js'
import { reachHead, unreachable } from '../protocol/reach.js'
import { checkResources, type Resources, resourcesOfHost } from '../protocol/resources.js'
import type { JoinService, NodeEvents, NodeSession } from '../protocol/services.js'
import { joiningSecret } from '../protocol/token.js'
import { LogSender } from '../runtime/log-sender.js'
import { makeStore, type StoreOptions } from '../store/store.js'
import { ConnectionManager, randomId } from '../transport/connection-manager.js'
import { control, serve } from '../transport/control.js'
import { LinkLostError } from '../transport/link.js'
import { NodeAgent } from './node-agent.js'

/** Options of a node. */
export interface NodeOptions {
  /** Amounts beside or instead of what the host has: `{ cpu: 4, licence: 1 }`. */
  readonly resources?: Resources
  /** Labels that actors and tasks can ask for, such as `{ zone: 'a' }`. */
  readonly labels?: Readonly<Record<string, string>>
  /** The secret that lets processes into the cluster; by default TROUPE_TOKEN, or the token in the file ~/.troupe/token. */
  readonly token?: string
  /** The store that its processes share. */
  readonly store?: StoreOptions
}

/** A host that has joined a cluster: it starts workers when the head asks for them. */
export class JoinedNode {
  /** Rejects when the head has gone. */
  readonly lost: Promise<never>
  readonly #lost = new Deferred<never>()
  #agent: NodeAgent | undefined
  #finish: () => Promise<void> = async () => {}
  /** The head's first request may come in with its answer to joining. */
  readonly #joined = new Deferred<NodeAgent>()
  readonly #connections: ConnectionManager

  private constructor(connections: ConnectionManager) {
    this.#connections = connections
    this.lost = this.#lost.promise
    this.lost.catch(() => {})
  }

  /**
   * Joins this process to the cluster of a head.
   *
   * @param host the address of this machine that other hosts reach it at
   * @throws NodeUnreachableError if no head answers; AccessDeniedError if it has another token
   */
  static async join(head: { host: string; port: number }, host: string, options: NodeOptions): Promise<JoinedNode> {
    checkResources(options.resources ?? {})
    const [processId, nodeId] = [randomId(), randomId()]
    const secret = joiningSecret(`${head.host}:${head.port}`, options.token)
    const endpoint = await reachHead(head, secret)
    const connections = new ConnectionManager({ processId, nodeId }, secret)
    const node = new JoinedNode(connections)
    const peer = connections.open(
      endpoint,
      { processId: 'head', nodeId: '' },
      {
        call: (call) => void serve(node.#requests(), call),
        lost: () => node.#lost.reject(new ClusterLostError(`the head at ${head.host}:${head.port} has gone`)),
      },
    )
    try {
      const info = await control<JoinService>(peer).joinNode({
        host,
        pid: process.pid,
        cpus: availableParallelism(),
        resources: resourcesOfHost(options.resources),
        labels: options.labels ?? {},
      })
      const { clusterId } = info
      const joined = { nodeId, clusterId, secret: secret.text, host, head: info.head }
      const store = makeStore(options.store)
      const logs = new LogSender((line, id) => control<NodeEvents>(peer).log(id, line))
      node.#agent = new NodeAgent(
        { ...joined, headEndpoint: endpoint, listens: true, store },
        {
          exited: (id, death) => peer.notify('exited', id, death),
          log: (id, line) => logs.send(line, id),
        },
        (id, offset) => control<NodeSession>(peer).readDirectory(id, offset),
      )
      node.#finish = () => control<NodeSession>(peer).finishNode()
      node.#joined.resolve(node.#agent)
      return node
    } catch (error) {
      connections.close()
      throw error instanceof LinkLostError ? unreachable(head, error) : error
    }
  }

  /** Ends all workers of this node, once their actors have run their onStop, and leaves the cluster. */
  async close(): Promise<void> {
    await this.#finish().catch(() => {})
    await this.#agent?.close()
    this.#connections.close()
  }

  #requests() {
    return {
      startWorker: async (spec: WorkerSpec) => (await this.#joined.promise).startWorker(spec),
      endWorker: async (processId: string) => (await this.#joined.promise).endWorker(processId),
      stackOf: async (processId: string) => (await this.#joined.promise).stackOf(processId),
      hadToRun: async (processId: string) => (await this.#joined.promise).hadToRun(processId),
      prepareDirectory: async (id: DirectoryId) => (await this.#joined.promise).prepareDirectory(id),
      dropDirectory: async (id: DirectoryId) => (await this.#joined.promise).dropDirectory(id),
    }
  }
}
