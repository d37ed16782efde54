import { setTimeout as delay } from 'node:timers/promises'
import { ActorDiedError, TroupeError } from '../common/errors.js'
import { LATE } from '../common/timer.js'
import type { Death, SpawnRequest, WorkerFolders } from '../protocol/actor.js'
import type { ActorRegistry } from './actor-registry.js'
import type { ClusterScheduler, Demand, Grant } from './cluster-scheduler.js'
import { placeMesh } from './placement.js'
import { type Actor, type Node, recordOf } from './records.js'
import {
  notImported,
  prepareFolders,
  WorkerExit,
  type WorkerHolder,
  type WorkerPool,
  type WorkerProcess,
} from './worker-pool.js'

/** Milliseconds before the second restart of an actor, doubled for each further one up to the most. */
const RESTART_DELAY = { least: 50, most: 5000 }

/** The fate of an actor that is launched, for the table that keeps it. */
export interface LaunchEvents {
  /** The process of a living actor has ended. */
  exited(actor: Actor, death: Death): void
  /** A new actor has died before it lived. */
  died(actor: Actor, death: Death): void
  /** An actor must end for good. */
  end(actorId: string, reason: string): Promise<void>
}

/** Gives actors their places, and starts their processes. */
export class ActorLauncher {
  constructor(
    private readonly nodes: ReadonlyMap<string, Node>,
    private readonly scheduler: ClusterScheduler,
    private readonly workers: WorkerPool,
    private readonly actors: ActorRegistry,
    private readonly events: LaunchEvents,
  ) {}

  /** Places an actor where there is room for it now. @throws InvalidInputError if it can never be placed */
  placeAtOnce(actor: Actor): void {
    this.#place(actor, this.scheduler.take(this.#demandOf(actor)))
  }

  /** Starts the actor's process; that of a new actor which dies while it starts is started anew where restarts are left. */
  async launch(actor: Actor): Promise<void> {
    const isNew = actor.state === 'starting'
    try {
      for (;;) {
        try {
          await this.#startOnce(actor)
          break
        } catch (error) {
          const mayTryAgain = error instanceof WorkerExit && !error.death.isRefused && actor.ending === undefined
          if (!isNew || !mayTryAgain || actor.restarts >= actor.allowed) throw error
        }
        await this.pauseBeforeRestart(actor)
        actor.restarts += 1
      }
    } catch (error) {
      const death = error instanceof WorkerExit ? error.death : { reason: String(error) }
      if (isNew) this.events.died(actor, death)
      // An actor that was ended while it waited had nothing to give back then.
      else if (actor.ending !== undefined) this.giveBack(actor)
      if (error instanceof TroupeError && actor.ending === undefined) throw error
      throw new ActorDiedError(actor.name, actor.ending ?? death.reason, death)
    }
    for (const tell of actor.awaited.splice(0)) tell()
  }

  async #startOnce(actor: Actor): Promise<void> {
    const { actorClass, members, dimensions, concurrency } = actor.request
    const { id: actorId, name, driver, namespace, directory } = actor
    let worker: WorkerProcess | undefined
    const exited = (death: Death) => {
      if (worker && actor.worker === worker) this.events.exited(actor, death)
    }
    try {
      if (actor.grant && !this.nodes.has(actor.grant.node.id)) this.#place(actor, undefined)
      if (!actor.local && !actor.grant) this.#place(actor, await this.scheduler.acquire(this.#demandOf(actor)))
      const gpus = actor.grant?.taken.gpus ?? []
      if (actor.ending !== undefined) throw new WorkerExit({ reason: actor.ending })
      const { logPrefix } = actor.request
      const isDropped = () => actor.ending !== undefined
      const holder = { name, driver, namespace, directory, logPrefix, isDropped, exited }
      const folders = actor.grant && (await prepareFolders(actor.grant.node, directory, actor.request.settings.cwd))
      worker = await this.#startWorker(actor, holder, folders)
      const { isSupervised } = actor.request
      const place = { dimensions, gpus, folders, ...members[actor.member] }
      const record = recordOf({ ...actor, worker })
      const spec = { actorId, name, actorClass, concurrency, isSupervised, record, ...place }
      const become = worker.unlessExited(worker.service.become(spec))
      void this.#limitImport(actor, worker, become)
      await become
      if (actor.ending !== undefined) throw new WorkerExit({ reason: actor.ending })
      if (worker.death) throw new WorkerExit(worker.death)
    } catch (error) {
      const death = error instanceof WorkerExit ? error.death : { reason: String(error) }
      if (worker) void this.workers.end(worker, death)
      throw error
    }
    actor.worker = worker
    if (actor.state === 'starting') actor.state = 'alive'
    this.actors.inProcess(actor, worker.processId)
  }

  /** Ends a worker whose import does not end, by an endless loop or what it awaits: nobody would ever hear of it. */
  async #limitImport(actor: Actor, worker: WorkerProcess, become: Promise<void>): Promise<void> {
    const { actorClass, startTimeout } = actor.request
    const imported = worker.untilImported(
      actor.id,
      startTimeout,
      become.then(() => true),
    )
    if ((await imported.catch(() => undefined)) !== LATE) return
    const reason = `its ${notImported(actorClass.module, startTimeout)}`
    if (actor.worker === worker) await this.events.end(actor.id, reason)
    else await this.workers.end(worker, { reason, isRefused: true })
  }

  #startWorker(
    { request, local, grant, driver, id }: Actor,
    holder: WorkerHolder,
    folders: WorkerFolders | undefined,
  ): Promise<WorkerProcess> {
    const isThread = request.isolation === 'thread'
    // A process goes to its folder by itself, so that one which has been started already will do.
    const cwd = isThread ? folders?.cwd : undefined
    const settings = folders ? { ...request.settings, cwd } : request.settings
    const timeout = request.startTimeout
    if (local) return this.workers.start(local, settings, holder, { timeout })
    const { node, taken } = grant!
    const thread = { group: driver || id, gpus: taken.gpus }
    if (isThread) return this.workers.start(node, settings, holder, { thread, timeout })
    const isPlain = Object.values(settings).every((setting) => setting === undefined)
    if (isPlain) return this.workers.take(node, holder, false, timeout)
    return this.workers.start(node, settings, holder, { timeout })
  }

  /** Waits before an actor is started anew, longer after each restart. */
  async pauseBeforeRestart({ restarts }: Actor): Promise<void> {
    const milliseconds = Math.min(RESTART_DELAY.least * 2 ** Math.max(0, restarts - 1), RESTART_DELAY.most)
    await delay(milliseconds)
  }

  /** An actor holds nothing of its node any more. */
  giveBack(actor: Actor): void {
    const { grant } = actor
    this.#place(actor, undefined)
    if (grant) this.scheduler.release(grant)
  }

  /** An actor holds something of a node from now on, or nothing. */
  #place(actor: Actor, grant: Grant | undefined): void {
    actor.grant = grant
    this.actors.onNode(actor, grant?.node.id)
  }

  #demandOf({ id, name, driver, owner, member, preferred, request: { place, members } }: Actor): Demand {
    const { bundle, bundles = 1, ...where } = place
    const own = bundle && { group: bundle.group, index: bundle.index + (member % bundles) }
    const nodeId = members[member]?.nodeId ?? where.nodeId
    return { what: name, actor: id, driver, owner, preferred, ...where, nodeId, bundle: own }
  }

  /** The nodes for members of a mesh that need no resources in particular: blocks over the nodes. */
  preferredNodes({ members, dimensions, place }: SpawnRequest): (string | undefined)[] {
    const nodes = [...this.nodes.values()].map(({ id }) => ({ id, actors: this.actors.countOn(id) }))
    const isFree = !place.labels && place.nodeId === undefined
    return dimensions && isFree ? placeMesh(nodes, dimensions).map(({ id }) => id) : members.map(() => undefined)
  }
}
