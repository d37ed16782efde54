import { type ChildProcess, spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { parseAddress } from '../cluster/address.js'
import { CLUSTER_VARIABLE, HEAD_VARIABLE, type HeadBoot } from '../cluster/boot.js'
import { unreachable } from '../cluster/node.js'
import type { ActorInfo, GroupInfo, NodeInfo, TaskInfo } from '../cluster/protocol.js'
import { checkResources, type Resources } from '../cluster/resources.js'
import { HEAD_TITLE, titleRoom } from '../cluster/title.js'
import { currentActor, enter, Runtime, runtimeOrNone } from '../runtime/runtime.js'
import { joinStore, type StoreOptions } from '../store/store.js'
import { ipcEndpoint, randomId, Switchboard } from '../transport/switchboard.js'
import { ClusterLostError, InvalidInputError } from './errors.js'
import type { ActorFailure, Decision } from './hooks.js'

export type { NodeInfo }

/** How a driver finds its cluster. */
export interface ConnectOptions {
  /** `HOST:PORT` of a head; by default the environment's TROUPE_ADDRESS, and without that a cluster is started. */
  readonly address?: string
  /** Where the names of this driver's actors are looked up; by default a namespace of its own. */
  readonly namespace?: string
  /**
   * Decides what becomes of an actor that died and has no restarts left, if no actor that owns it has decided. Without it
   * such an actor stays dead.
   */
  readonly supervise?: (failure: ActorFailure) => Decision | Promise<Decision>
  /** What a cluster that is started has beside or instead of what this host has. */
  readonly resources?: Resources
  /** Where the processes of a cluster that is started keep what they share. */
  readonly store?: StoreOptions
}

const headMain = fileURLToPath(new URL('../cluster/head-main.js', import.meta.url))

/** Milliseconds the head of a local cluster may take to start. */
const START_TIMEOUT = 30_000
/** Milliseconds the head of a local cluster may take to end. */
const END_TIMEOUT = 5000

/**
 * Joins a cluster as a driver, or starts one on this host that ends with this process, however that ends.
 *
 * @throws InvalidInputError if the address is malformed, or this process has joined a cluster already, as workers have
 * @throws NodeUnreachableError if no head answers at the address
 * @example
 * ```ts
 * const cluster = await connect()
 * const counter = await RemoteCounter.spawn()
 * console.log(await counter.add(5))
 * await cluster.shutdown()
 * ```
 */
export async function connect(options: ConnectOptions = {}): Promise<Cluster> {
  checkResources(options.resources ?? {})
  const actor = currentActor()
  if (actor) {
    throw new InvalidInputError(
      `connect() was called in the worker of ${actor.name}, which is in a cluster already; a module that both makes an ` +
        'actor and connects must connect only `if (!currentActor())`',
    )
  }
  if (isConnecting || runtimeOrNone()) {
    throw new InvalidInputError('this process is in a cluster already; call shutdown() on it first')
  }
  isConnecting = true
  try {
    const address = options.address ?? process.env.TROUPE_ADDRESS
    return await (address ? joinCluster(address, options) : startCluster(options))
  } finally {
    isConnecting = false
  }
}

let isConnecting = false

/** A cluster that this process drives. */
export class Cluster {
  readonly #runtime: Runtime
  readonly #head: ChildProcess | undefined

  /** @internal */
  constructor(runtime: Runtime, head: ChildProcess | undefined) {
    this.#runtime = runtime
    this.#head = head
  }

  /** Marks the cluster's processes: the value of TROUPE_CLUSTER in their environment. */
  get id(): string {
    return this.#runtime.cluster.clusterId
  }

  /** The nodes of the cluster, the head first. */
  async nodes(): Promise<NodeInfo[]> {
    return this.#runtime.head.nodes()
  }

  /** The living actors, of all drivers. */
  async actors(): Promise<ActorInfo[]> {
    return this.#runtime.head.actors()
  }

  /** The tasks that run, of all drivers; those that wait are not among them. */
  async tasks(): Promise<TaskInfo[]> {
    return this.#runtime.head.tasks()
  }

  /** The latest lines, a thousand at most, that an actor or the tasks of a function wrote to stdout and stderr. */
  async logs(name: string): Promise<string[]> {
    return this.#runtime.head.logs(name)
  }

  /** The placement groups that are reserved. */
  async placementGroups(): Promise<GroupInfo[]> {
    return this.#runtime.head.groups()
  }

  /**
   * Ends the actors that this process owns, and the cluster too if this process started it. Resolves when their processes
   * have ended. Pending calls fail.
   */
  async shutdown(): Promise<void> {
    if (runtimeOrNone() !== this.#runtime) return
    try {
      await this.#runtime.head.leave()
    } catch (error) {
      if (!(error instanceof ClusterLostError)) throw error
    } finally {
      this.#runtime.close('the cluster was shut down')
      if (this.#head) await ended(this.#head)
    }
  }

  /** {@link shutdown}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown()
  }
}

async function joinCluster(address: string, { namespace, supervise }: ConnectOptions): Promise<Cluster> {
  const { host, port } = parseAddress(address)
  const endpoint = `tcp://${host}:${port}`
  const id = randomId()
  const switchboard = new Switchboard({ processId: id, nodeId: id }, true)
  const runtime = new Runtime(
    switchboard,
    endpoint,
    { processId: `head at ${address}`, nodeId: '' },
    { onLog: printLog },
  )
  try {
    runtime.cluster = await runtime.head.joinDriver({ namespace })
  } catch (error) {
    runtime.close('joining failed')
    throw error instanceof ClusterLostError ? unreachable({ host, port }, error) : error
  }
  runtime.supervisor = supervise
  enter(runtime)
  return new Cluster(runtime, undefined)
}

async function startCluster({ namespace, resources, supervise, store }: ConnectOptions): Promise<Cluster> {
  const [clusterId, nodeId, processId] = [randomId(), randomId(), randomId()]
  const boot: HeadBoot = { clusterId, nodeId, processId, parentPid: process.pid, resources, store }
  // A session of its own keeps a Ctrl-C in the terminal from the head: it ends when this process does.
  const head = spawn(process.execPath, [headMain, titleRoom(HEAD_TITLE)], {
    detached: true,
    stdio: ['pipe', 'inherit', 'inherit'],
    env: { ...process.env, [CLUSTER_VARIABLE]: clusterId, [HEAD_VARIABLE]: JSON.stringify(boot) },
  })
  head.unref()
  const stdin = head.stdin as Socket
  stdin.on('error', () => {})
  stdin.unref()
  const switchboard = new Switchboard({ processId: randomId(), nodeId }, true)
  const runtime = new Runtime(switchboard, ipcEndpoint(processId), { processId, nodeId }, { timeout: START_TIMEOUT })
  const failed = new Promise<never>((_, reject) => {
    head.once('error', reject)
    head.once('exit', (code, signal) => reject(new ClusterLostError(`the head ended with ${signal ?? `code ${code}`}`)))
  })
  failed.catch(() => {})
  try {
    runtime.cluster = await Promise.race([runtime.head.joinDriver({ namespace }), failed])
  } catch (error) {
    runtime.close('the head did not start')
    head.kill('SIGKILL')
    throw error
  }
  runtime.supervisor = supervise
  joinStore(runtime.cluster.store)
  enter(runtime)
  return new Cluster(runtime, head)
}

async function ended(head: ChildProcess): Promise<void> {
  if (head.exitCode !== null || head.signalCode !== null) return
  head.ref()
  const timer = setTimeout(() => head.kill('SIGKILL'), END_TIMEOUT)
  await new Promise<void>((resolve) => {
    head.once('exit', () => resolve())
  })
  clearTimeout(timer)
}

function printLog(name: string, line: string): void {
  process.stderr.write(`[${name}] ${line}\n`)
}
