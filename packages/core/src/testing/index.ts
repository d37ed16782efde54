import { type Cluster, connect } from '../api/cluster.js'
import { clientOf, describeActor } from '../api/handle.js'
import { type Head, type JoinedNode, joinHead, type NodeOptions, startHead } from '../head/index.js'
import { randomSecret } from '../protocol/token.js'
import { currentRuntime } from '../runtime/current.js'
import { LinkLostError } from '../transport/link.js'
import { crashLocal } from '../worker/local.js'

/**
 * A cluster for tests whose head, nodes and driver are all in this process; its actors are in processes of their own.
 *
 * @example
 * ```ts
 * await using cluster = await TestCluster.start([{ resources: { cpu: 1 } }, { resources: { cpu: 1 } }])
 * const counter = await RemoteCounter.spawn()
 * ```
 */
export class TestCluster {
  readonly #head: Head
  readonly #token: string
  readonly #nodes: JoinedNode[] = []

  private constructor(
    /** What {@link connect} gave. */
    readonly cluster: Cluster,
    head: Head,
    token: string,
  ) {
    this.#head = head
    this.#token = token
  }

  /**
   * Starts a cluster and connects this process to it.
   *
   * @param nodes what each node has; the first is the head's
   */
  static async start(nodes: readonly NodeOptions[] = [{}]): Promise<TestCluster> {
    const { title } = process
    const [first = {}, ...others] = nodes
    const token = randomSecret().text
    const head = await startHead({ host: '127.0.0.1', port: 0 }, { ...first, token })
    const started = new TestCluster(await connect({ address: head.address, token }), head, token)
    for (const node of others) await started.addNode(node)
    process.title = title
    return started
  }

  /** Adds a node. */
  async addNode(options: NodeOptions = {}): Promise<void> {
    this.#nodes.push(await joinHead(this.#head.address, '127.0.0.1', { ...options, token: this.#token }))
  }

  /** Takes away the node that was added last, with all that runs on it. */
  async removeNode(): Promise<void> {
    await this.#nodes.pop()?.close()
  }

  /** Ends everything. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.cluster.shutdown()
    for (const node of this.#nodes.splice(0)) await node.close()
    await this.#head.close()
  }
}

/** Kills the process of an actor as a crash would; of an actor that is local to this one, it ends only the actor. */
export function crashActor(handle: object): void {
  if (crashLocal(clientOf(handle).record.address.processId)) return
  process.kill(describeActor(handle).pid, 'SIGKILL')
}

/** Breaks this process's connection to an actor, which lives on; what is on its way is lost. */
export function dropLink(handle: object): void {
  peerOf(handle).disconnect(new LinkLostError('a test dropped the link'))
}

/**
 * Holds up what this process sends to an actor.
 *
 * @param milliseconds for each message, in order
 * @returns ends the delay
 */
export function delayLink(handle: object, milliseconds: number): () => void {
  const peer = peerOf(handle)
  const { link } = peer
  let last = Promise.resolve()
  peer.link = {
    close: () => link.close(),
    post: (packet) => {
      const due = new Promise<void>((resolve) => setTimeout(resolve, milliseconds))
      last = last.then(() => due).then(() => link.post(packet))
    },
  }
  return () => {
    void last.then(() => {
      peer.link = link
    })
  }
}

function peerOf(handle: object) {
  return currentRuntime().reach(clientOf(handle).record.address)
}
