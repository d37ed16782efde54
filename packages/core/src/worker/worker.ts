import { setImmediate as nextTurn } from 'node:timers/promises'
import { registeredClass } from '../api/actor.js'
import { ChannelTable } from '../channel/channel-table.js'
import { collectGarbage } from '../common/collect-garbage.js'
import { InvalidInputError } from '../common/errors.js'
import { within } from '../common/timer.js'
import { GraphParts } from '../graph/parts.js'
import { type ActorRecord, type ActorSpec, STOP, TASK, TASK_OF_SEVERAL, type WorkerFolders } from '../protocol/actor.js'
import type { WorkerSettings } from '../protocol/boot.js'
import type { CallerService, ConstructionService, WorkerService } from '../protocol/services.js'
import type { ObjectRef } from '../runtime/ref.js'
import { fetchArguments } from '../runtime/remote-argument.js'
import { takeRetainedBytes } from '../runtime/remote-result-ref.js'
import { type ActorIdentity, Runtime } from '../runtime/runtime.js'
import { localUrl, WorkingDirectory } from '../runtime/working-directory.js'
import { type ConnectionManager, ipcEndpoint } from '../transport/connection-manager.js'
import { control, serve } from '../transport/control.js'
import type { IncomingCall } from '../transport/incoming-call.js'
import type { Peer } from '../transport/peer.js'
import { unseal } from '../transport/sealed.js'
import { circleOf } from './deadlock-watch.js'
import { Executor } from './executor.js'
import { importModule } from './import-module.js'
import { splitMethod, TaskRunner } from './task-runner.js'

type Class = new (...args: unknown[]) => object

/**
 * Milliseconds that the head has to answer a worker that starts, however busy both are: it ends a start that takes too long.
 */
const JOIN_TIMEOUT = 600_000
/** Milliseconds after others have let go of the last result that its memory is given back. */
const COLLECT_AFTER = 500
/**
 * Milliseconds that the owners of results have to bring them over before a stopped actor's process ends: else they are lost.
 */
const HAND_OVER = 60_000

/** The process or the thread that a worker is, or its place in one that it shares. */
export interface WorkerHost {
  exit(code: number): void
  /** Shows the name of its actor. */
  name(name: string): void
  /** Lets it see these GPUs of its node and no others. */
  equip(gpus: readonly number[]): void
  /** Makes a folder the one that it works in. */
  enter(folder: string): void
}

/** The actor that a worker has become. */
interface LivingActor {
  readonly identity: ActorIdentity
  readonly record: ActorRecord
  /** Whether those that own it decide about actors that it spawns. */
  readonly isSupervised: boolean
  readonly executor: Executor
  readonly loaded: Promise<Class>
}

/** Runs actors and tasks: one actor, or one task at a time. */
export class Worker {
  readonly runtime: Runtime
  readonly #settings: WorkerSettings
  readonly #connections: ConnectionManager
  readonly #workerHost: WorkerHost
  #hasJoined = false
  readonly #tasks = new TaskRunner(
    (url) => localUrl(url, this.runtime.directory),
    (method) => this.#imported(method),
  )
  readonly #graphs = new GraphParts((method) => {
    if (!this.#actor) throw new InvalidInputError('this worker has not become an actor')
    return this.#actor.executor.bind(method)
  })
  /** The latest call of each caller that waits for its arguments or for such a call. */
  readonly #fetching = new Map<Peer, Promise<void>>()
  /** Whether the head wants to know when others hold nothing of this process any more. */
  #isAskedFor = false
  #actor: LivingActor | undefined
  readonly #channels = new ChannelTable()

  constructor(settings: WorkerSettings, connections: ConnectionManager, workerHost: WorkerHost) {
    this.#settings = settings
    this.#connections = connections
    this.#workerHost = workerHost
    const service: WorkerService = {
      become: (actor) => this.#become(actor),
      equip: (gpus, folders, method) => {
        this.#equip(gpus, folders)
        const imported = this.#tasks.prepare(method)
        imported?.catch(() => {})
        return imported === undefined
      },
      supervise: async (failure) => this.#actor?.executor.supervise?.(failure),
      idle: () => this.#tasks.idle(),
      answer() {},
      isSpare: () => {
        const isSpare = this.runtime.objects.size === 0
        this.#isAskedFor = !isSpare
        return isSpare
      },
      reconstruct: async (args, restarts, reason) => {
        await this.#actor?.loaded
        await this.#construct(unseal(args) as unknown[], { restarts, reason })
      },
      finish: async () => this.#actor?.executor.finish(),
      leave: () => workerHost.exit(0),
    }
    const { clusterId, head, headEndpoint, host, listens, store } = settings
    const place = { endpoint: headEndpoint, identity: head, timeout: JOIN_TIMEOUT }
    this.runtime = new Runtime(
      connections,
      place,
      {
        kind: 'worker',
        service,
        cluster: { clusterId, head, store },
        network: { host, listens },
        actor: () => this.#actor,
        isSupervising: () =>
          this.#actor !== undefined && (this.#actor.isSupervised || this.#actor.executor.supervise !== undefined),
        onHoldsNothing: () => this.#heldNoMore(),
        // Until it has joined, the error of that says why it ends.
        onHeadLost: () => this.#hasJoined && workerHost.exit(1),
      },
      [this.#channels],
    )
  }

  /** Starts to listen, and tells the head that it is ready for work. */
  async join(): Promise<void> {
    const { processId, nodeId, host, listens } = this.#settings
    const ipc = ipcEndpoint(processId)
    const endpoints = listens ? [ipc, `tcp://${host}:*`] : [ipc]
    const [, tcp] = await this.#connections.listen(endpoints, (peer) => {
      const holder = peer.identity.processId
      const requests: ConstructionService = {
        construct: (args) => this.#construct(args),
        circleOf: async (request, path) => {
          const call = peer.serving(request)
          return call && circleOf(call, this.#labelOf(call), path)
        },
      }
      const served = {
        ...requests,
        ...this.runtime.servedTo(holder),
        ...this.#channels.served,
        ...this.#graphs.servedTo(holder),
      }
      return {
        prepare: (target, method) => this.#prepare(target, method),
        call: (call) => this.#take(call, served),
        lost: () => {
          this.runtime.objects.holderGone(holder)
          this.#graphs.driverGone(holder)
        },
      }
    })
    await this.runtime.joinAsWorker({ processId, nodeId, ipc, tcp })
    this.#hasJoined = true
  }

  /** The call's name in messages. */
  #labelOf({ method }: IncomingCall): string {
    const { actor } = this.runtime
    return actor ? `${actor.identity.name}.${method}` : splitMethod(method)[1]
  }

  /** The task that runs here waits for a ref. */
  waitsFor(ref: ObjectRef<unknown>): void {
    this.#tasks.waitsFor(ref)
  }

  /** Others have let go of all that they held of this process. */
  #heldNoMore(): void {
    // A worker that waits for work allocates nothing, so the results that others have let go of would never be collected.
    if (takeRetainedBytes() > 0) setTimeout(collectGarbage, COLLECT_AFTER).unref()
    if (this.#isAskedFor) void this.runtime.workerSession.spare().catch(() => {})
    this.#isAskedFor = false
  }

  #equip(gpus: readonly number[], folders?: WorkerFolders): void {
    if (gpus.length > 0) this.#workerHost.equip(gpus)
    if (!folders) return
    this.runtime.enterDirectory(new WorkingDirectory(folders.root))
    this.#workerHost.enter(folders.cwd)
  }

  #become(spec: ActorSpec): void {
    const {
      actorId,
      name,
      actorClass,
      concurrency,
      coordinates,
      dimensions,
      rank,
      gpus,
      folders,
      isSupervised,
      record,
    } = spec
    const { nodeId, host } = this.#settings
    this.#equip(gpus, folders)
    this.#workerHost.name(name)
    const identity: ActorIdentity = {
      id: actorId,
      name,
      pid: process.pid,
      nodeId,
      host,
      ...(coordinates && { coordinates, dimensions: dimensions ?? {}, rank: rank ?? 0 }),
    }
    const url = localUrl(actorClass.module, this.runtime.directory)
    const loaded = load(url, actorClass.exportName).finally(() => this.#imported(actorId))
    loaded.catch(() => {})
    const executor = new Executor(name, concurrency)
    this.#actor = { identity, record, isSupervised, executor, loaded }
  }

  /** Tells the head that a module has been imported, before its code may keep this thread busy. */
  async #imported(what: string): Promise<void> {
    void this.runtime.workerSession.imported(what).catch(() => {})
    await nextTurn()
  }

  /** Modules register codecs, so that arguments can only be decoded once those of the actor or the task are loaded. */
  #prepare(target: string, method: string): Promise<unknown> | undefined {
    if (target === TASK || target === TASK_OF_SEVERAL) return this.#tasks.prepare(method)
    return method === ('construct' satisfies keyof ConstructionService) && target === ''
      ? this.#actor?.loaded
      : undefined
  }

  async #construct(args: unknown[], restart?: { restarts: number; reason: string }): Promise<void> {
    if (!this.#actor) throw new InvalidInputError('this worker has not become an actor')
    const { executor, loaded } = this.#actor
    await fetchArguments(this.runtime, args, true)
    await executor.construct(() => loaded, args, restart)
    if (executor.mustFinish) await this.runtime.workerSession.mustFinish()
  }

  #take(call: IncomingCall, served: object): void {
    if (call.target === TASK || call.target === TASK_OF_SEVERAL) void this.#tasks.run(call, this.runtime)
    else if (!this.#actor || call.target !== this.#actor.identity.id) void serve(served, call)
    else if (call.mayLack || this.#fetching.size > 0) void this.#takeInTurn(call, this.#actor.executor)
    else this.#begin(call, this.#actor.executor)
  }

  #begin(call: IncomingCall, executor: Executor): void {
    if (call.method === STOP) void this.#stop(call, executor)
    else executor.run(call)
  }

  /** Fetches the arguments of a call that live elsewhere. Calls of the same caller wait for that, those of others do not. */
  async #takeInTurn(call: IncomingCall, executor: Executor): Promise<void> {
    const before = this.#fetching.get(call.peer)
    const fetched = call.mayLack ? fetchArguments(this.runtime, call.args, true) : undefined
    fetched?.catch(() => {})
    const turn = (async () => {
      await before
      try {
        await fetched
      } catch (error) {
        call.fail(error)
        return
      }
      this.#begin(call, executor)
    })()
    this.#fetching.set(call.peer, turn)
    await turn
    if (this.#fetching.get(call.peer) === turn) this.#fetching.delete(call.peer)
  }

  /** Answers the calls before, and ends the worker. */
  async #stop(call: IncomingCall, executor: Executor): Promise<void> {
    await executor.drained()
    await this.runtime.workerSession.stopping()
    await executor.finish()
    await this.runtime.workerSession.finished()
    await this.#handOver()
    call.reply(null)
    await this.#connections.delivered()
    this.#workerHost.exit(0)
  }

  /** Has the owners of results that are held here bring them over. */
  async #handOver(): Promise<void> {
    const brought = this.#connections.accepted.map(async (peer) => {
      const results = this.runtime.objects.heldBy(peer.identity.processId)
      if (results.length > 0) await control<CallerService>(peer).bring(results)
    })
    await within(Promise.allSettled(brought), HAND_OVER)
  }
}

/** A local actor's module is loaded already, and may still wait for the spawn of the actor. */
async function load(module: string, exportName: string): Promise<Class> {
  const known = registeredClass(module, exportName)
  if (known) return known as Class
  const namespace = await importModule(module)
  const actorClass = registeredClass(module, exportName) ?? namespace[exportName]
  if (typeof actorClass === 'function') return actorClass as Class
  throw new InvalidInputError(
    `${module} makes no actor of a class named ${exportName}; call actor(import.meta.url, ${exportName}) in it`,
  )
}
