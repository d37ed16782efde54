import type { ChildProcess } from 'node:child_process'
import { inspect } from 'node:util'
import { Deferred } from '../common/deferred.js'
import { ClusterLostError, InvalidInputError } from '../common/errors.js'
import type { ActorFailure, Decision } from '../common/hooks.js'
import type { ActorInfo, ActorStack, ObjectInfo, TaskInfo } from '../protocol/listing.js'
import type { GroupInfo, NodeInfo } from '../protocol/placement.js'
import { checkResources, type Resources } from '../protocol/resources.js'
import { runtimeOrNone } from '../runtime/current.js'
import type { Runtime } from '../runtime/runtime.js'
import { tune } from '../runtime/tuning.js'
import { setUnawaitedFailures } from '../runtime/unawaited-failures.js'
import type { StoreOptions } from '../store/store.js'
import { currentActor } from './current-actor.js'

export type { NodeInfo }

/** Options of a driver's connection to its cluster. */
export interface ConnectOptions {
  /**
   * `HOST:PORT` of a head, or `ipc://@NAME` of a cluster that another program of the same user has started on this machine, as
   * `troupe clusters` tells it; by default the environment's TROUPE_ADDRESS, and without that a cluster is started.
   */
  readonly address?: string
  /**
   * The token that the head at the address lets in; by default TROUPE_TOKEN, or that of the cluster of the same user on this
   * machine, or that in the file ~/.troupe/token.
   */
  readonly token?: string
  /** The namespace that the names of this driver's actors are looked up in; by default one of its own. */
  readonly namespace?: string
  /** Decides what becomes of an actor that failed and has no restarts left, if no actor that owns it has decided. */
  readonly supervise?: (failure: ActorFailure) => Decision | Promise<Decision>
  /**
   * Called in place of ending this process when an actor failed and nobody has handled that; {@link Decision} says when that
   * is. The actor stays dead.
   */
  readonly onFailure?: (failure: ActorFailure) => void
  /**
   * Called with each line that this driver's actors and tasks write, and with what the cluster tells of them, in place of
   * writing it to stderr.
   */
  readonly onLog?: (line: string) => void
  /**
   * Treatment of the failure of a call whose ref is collected, or is left when this process ends, and which nobody has
   * awaited, waited for, passed on or released: a warning by default; `throw` makes it an UnawaitedFailureError that nothing
   * catches. In actors it is always a warning, in their logs.
   */
  readonly unawaitedFailures?: 'warn' | 'throw' | 'ignore'
  /** Resources of a cluster that is started, beside or instead of those of this host. */
  readonly resources?: Resources
  /**
   * The directory with the code of this driver. Its files are sent to each node that actors or tasks of the driver run on,
   * once for as long as they do not change, and those work in the copy: modules in it are imported from there. Left out are
   * `.git`, `node_modules` and what a file `.troupeignore` in it names as a .gitignore would; packages are found where a node
   * was started, unless `!node_modules` in that file has them sent.
   */
  readonly workingDirectory?: string | URL
  /** The store that the processes of a cluster that is started share. */
  readonly store?: StoreOptions
}

/**
 * Milliseconds that the head of a local cluster may take to end: more than it gives itself, so that it can say why it has
 * not.
 */
const END_TIMEOUT = 120_000

/**
 * Joins a cluster as a driver, or starts one on this host that ends with this process, however that ends.
 *
 * @throws InvalidInputError if the address is malformed, this process has joined a cluster already, as workers have, or the
 * working directory is none or too large
 * @throws NodeUnreachableError if no head answers at the address; AccessDeniedError if it has another token
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
  const { unawaitedFailures = 'warn' } = options
  if (!['warn', 'throw', 'ignore'].includes(unawaitedFailures)) {
    throw new InvalidInputError(`unawaitedFailures must be warn, throw or ignore, found ${unawaitedFailures}`)
  }
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
    tune()
    setUnawaitedFailures(unawaitedFailures)
    const address = options.address ?? process.env.TROUPE_ADDRESS
    // Workers import this module too, and do not load what only drivers need.
    const { joinCluster, startCluster } = await import('./join-cluster.js')
    const { runtime, head } = await (address ? joinCluster(address, options) : startCluster(options))
    return new Cluster(runtime, head)
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

  /** The text that `console.log` shows. */
  [inspect.custom](): string {
    return `Cluster(${this.id})`
  }

  /** The nodes of the cluster, the head first. */
  async nodes(): Promise<NodeInfo[]> {
    return this.#runtime.head.nodes()
  }

  /** The living actors, of all drivers. */
  async actors(): Promise<ActorInfo[]> {
    return this.#runtime.head.actors()
  }

  /**
   * The tasks that run, or wait to, of all drivers and actors: 10,000 of each at most. Of an owner that does not answer
   * within a second of running, only those that run are known.
   */
  async tasks(): Promise<TaskInfo[]> {
    return this.#runtime.head.tasks()
  }

  /**
   * The values that were put, and those whose refs are shared between processes: 10,000 of each owner at most. Leaves out
   * the values of an owner that does not answer within a second of running, or five seconds for a driver.
   */
  async objects(): Promise<ObjectInfo[]> {
    return this.#runtime.head.objects()
  }

  /**
   * The stack of an actor's process at this moment, also when it is stuck in a loop. The process runs on; its inspector
   * (`node --inspect`) is open meanwhile, on an address of this host that only the cluster knows.
   *
   * @param actor its name, or its id
   * @throws InvalidInputError if no actor of that name lives, or several
   */
  async stack(actor: string): Promise<ActorStack> {
    return this.#runtime.head.stack(actor)
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
   * Ends the actors that this process owns, and the cluster too if this process started it. Resolves when they have run their
   * onStop, for which they have five seconds, and their processes have ended. Pending calls fail.
   */
  async shutdown(): Promise<void> {
    if (runtimeOrNone() !== this.#runtime) return
    try {
      await this.#runtime.driverSession.leave()
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

async function ended(head: ChildProcess): Promise<void> {
  if (head.exitCode !== null || head.signalCode !== null) return
  head.ref()
  const timer = setTimeout(() => head.kill('SIGKILL'), END_TIMEOUT)
  const exited = new Deferred()
  head.once('exit', () => exited.resolve())
  await exited.promise
  clearTimeout(timer)
}
