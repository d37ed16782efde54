import { ActorDiedError, InvalidInputError, TroupeError } from '../common/errors.js'
import type { ActorFailure, Decision } from '../common/hooks.js'
import { LATE } from '../common/run-clock.js'
import type { ActorRecord, ActorState, Death, Spawned, SpawnRequest, WorkerFolders } from '../protocol/actor.js'
import { STOP_TIMEOUT } from '../protocol/actor.js'
import type { DirectoryId } from '../protocol/directory-id.js'
import type { ActorInfo } from '../protocol/listing.js'
import type { HeadEvents } from '../protocol/services.js'
import type { Peer } from '../transport/peer.js'
import { randomId } from '../transport/switchboard.js'
import { ActorIndex } from './actor-index.js'
import { ActorNames } from './actor-names.js'
import { placeMesh } from './placement.js'
import type { Node, Owner } from './records.js'
import type { Demand, Grant, Scheduler } from './scheduler.js'
import { type FailureReports, UnhandledFailures } from './unhandled-failures.js'
import {
  notImported,
  prepareFolders,
  WorkerExit,
  type WorkerHolder,
  type WorkerPlace,
  type WorkerPool,
  type WorkerProcess,
} from './worker-pool.js'

/** How many dead actors are remembered, with why they died. */
const REMEMBERED_DEAD = 10_000
/** Milliseconds before the second restart of an actor, doubled for each further one up to the most. */
const RESTART_DELAY = { least: 50, most: 5000 }

/** Milliseconds that an actor's process has on top to say that its onStop has run, or has been given up. */
const STOP_GRACE = 500

/** Who is asked and told about the failures of actors. */
export interface Supervision extends FailureReports {
  /** Asks a process what becomes of an actor that it owns. */
  supervise(processId: string, failure: ActorFailure): Promise<Decision | undefined>
  /** The connection with a driver. */
  driver(processId: string): Peer | undefined
}

/** An actor as the head keeps it, while it lives. */
interface Actor {
  readonly id: string
  readonly name: string
  readonly namespace: string
  readonly request: SpawnRequest
  readonly member: number
  readonly owner: string
  readonly driver: string
  /** The process of the owner, for an actor that is local to it. */
  readonly local: WorkerPlace | undefined
  readonly directory: DirectoryId | undefined
  readonly watchers: Set<Peer>
  /** Called when it has got a process, or died. */
  readonly awaited: (() => void)[]
  /** The node it would best be on. */
  readonly preferred: string | undefined
  state: 'starting' | 'alive' | 'restarting'
  /** What it holds of its node; undefined while it waits for that. */
  grant: Grant | undefined
  worker: WorkerProcess | undefined
  restarts: number
  /** How often it may be restarted. */
  allowed: number
  /** Whether it is ended only to be restarted with the rest of its mesh. */
  isJoining: boolean
  /** Whether the head has constructed it, in a restart. */
  isConstructed: boolean
  /** Why it died last. */
  death: Death | undefined
  /** Why it is about to end for good, when that is known before its process ends. */
  ending: string | undefined
  failedBroadcasts: number
}

/** The cluster's actors: spawns them over the nodes, restarts them, and tells who watches them what becomes of them. */
export class ActorTable {
  readonly #nodes: ReadonlyMap<string, Node>
  readonly #scheduler: Scheduler
  readonly #workers: WorkerPool
  readonly #actors = new ActorIndex<Actor>()
  /** What each process watches. */
  readonly #watched = new WeakMap<Peer, Set<Actor>>()
  readonly #dead = new Map<string, Death>()
  readonly #names = new ActorNames()
  readonly #supervision: Supervision
  readonly #unhandled: UnhandledFailures

  constructor(nodes: ReadonlyMap<string, Node>, scheduler: Scheduler, workers: WorkerPool, supervision: Supervision) {
    this.#supervision = supervision
    this.#unhandled = new UnhandledFailures(supervision)
    this.#nodes = nodes
    this.#scheduler = scheduler
    this.#workers = workers
  }

  /**
   * Starts a worker process for each member, all at once.
   *
   * @throws InvalidInputError if the name is taken or the node is unknown
   * @throws ActorDiedError if a process does not start; the others are ended
   */
  async spawn(request: SpawnRequest, owner: Owner): Promise<Spawned[]> {
    const namespace = request.namespace ?? owner.namespace
    while (request.getIfExists && this.#names.find(namespace, request.name!) !== undefined) {
      const record = await this.lookUp(request.name!, namespace)
      if (record) return [{ record, existed: true, isConstructed: true }]
    }
    const preferred = this.#preferredNodes(request)
    const ids = request.members.map(() => randomId())
    const names = this.#names.assign(request, namespace, ids)
    const actors = request.members.map((_, member) => {
      const actor: Actor = {
        id: ids[member]!,
        name: names[member]!,
        namespace,
        request,
        member,
        owner: request.detached ? '' : owner.processId,
        driver: request.detached ? '' : owner.driver,
        directory: owner.directory,
        local: request.isolation === 'local' ? owner.place : undefined,
        watchers: new Set(),
        awaited: [],
        state: 'starting',
        grant: undefined,
        preferred: preferred[member],
        worker: undefined,
        restarts: 0,
        allowed: request.maxRestarts,
        isJoining: false,
        isConstructed: false,
        death: undefined,
        ending: undefined,
        failedBroadcasts: 0,
      }
      this.#actors.add(actor)
      return actor
    })
    // Those that fit at once are all placed before any of them starts.
    for (const actor of actors.filter(({ local }) => !local)) {
      try {
        this.#place(actor, this.#scheduler.take(this.#demandOf(actor)))
      } catch (error) {
        for (const { id } of actors) void this.end(id, 'its mesh cannot be placed')
        throw error
      }
    }
    const outcomes = await Promise.allSettled(actors.map((actor) => this.#launch(actor)))
    const failure = outcomes.find((outcome) => outcome.status === 'rejected')
    const reason = failure?.reason ?? (await this.#whyNotAlive(actors))
    if (!reason)
      return actors.map((actor) => ({ record: recordOf(actor), existed: false, isConstructed: actor.isConstructed }))
    await Promise.all(actors.map((actor) => this.end(actor.id, 'another member of its mesh did not start')))
    throw reason
  }

  /** Some may have died before the last of them had started: those that are restarted are waited for. */
  async #whyNotAlive(actors: readonly Actor[]): Promise<Error | undefined> {
    for (;;) {
      const missing = actors.find((actor) => !actor.worker || actor.state !== 'alive')
      if (!missing) return undefined
      if (this.#actors.get(missing.id) !== missing) {
        const death = this.#dead.get(missing.id) ?? { reason: 'its process ended before it was constructed' }
        return new ActorDiedError(missing.name, death.reason, death)
      }
      await new Promise<void>((resolve) => missing.awaited.push(resolve))
    }
  }

  /** The living actor that was given a name, once it has a process: one that starts, also anew, is waited for. */
  async lookUp(name: string, namespace: string): Promise<ActorRecord | undefined> {
    for (;;) {
      const actor = this.#actors.get(this.#names.find(namespace, name) ?? '')
      // One that is being ended is not given any more, though its name is free only when it has ended.
      if (!actor || (actor.worker && actor.ending === undefined)) return actor && recordOf(actor)
      await new Promise<void>((resolve) => actor.awaited.push(resolve))
    }
  }

  /**
   * How an actor is; the peer is told of every change.
   *
   * @param lost a process of the actor that the peer's connection with broke
   */
  async watch(actorId: string, peer: Peer, lost?: string): Promise<ActorState> {
    const watched = this.#actors.get(actorId)
    if (watched) this.#watch(watched, peer)
    const worker = watched?.worker
    // Its end may be about to be reported, and is what the peer wants to know of.
    if (worker && (worker.isDisconnected || worker.processId === lost)) await worker.livesOrExited()
    const actor = this.#actors.get(actorId)
    if (!actor) {
      this.#unhandled.learning(actorId, peer)
      const death = this.#dead.get(actorId) ?? { reason: 'the cluster does not know it any more' }
      return { state: 'dead', death }
    }
    return stateOf(actor)
  }

  /** A process has gone, and with it what it watched. */
  forget(peer: Peer): void {
    for (const actor of this.#watched.get(peer) ?? []) actor.watchers.delete(peer)
    this.#watched.delete(peer)
  }

  #watch(actor: Actor, peer: Peer): void {
    actor.watchers.add(peer)
    const watched = this.#watched.get(peer)
    if (watched) watched.add(actor)
    else this.#watched.set(peer, new Set([actor]))
  }

  /**
   * Ends an actor for good; resolves when its process has ended.
   *
   * @param isOrderly whether its onStop runs before
   */
  async end(actorId: string, reason: string, isOrderly = false): Promise<void> {
    this.noticed(actorId)
    const actor = this.#actors.get(actorId)
    if (!actor) return
    actor.ending ??= reason
    if (!actor.grant) this.#scheduler.drop((demand) => demand.actor === actorId)
    if (isOrderly) await this.#finish(actor)
    if (actor.worker) await this.#workers.end(actor.worker, { reason })
    this.#died(actor, { reason: actor.ending })
  }

  /** Counts a failure of a living actor; whose its log is. */
  broadcastFailed(actorId: string): { name: string; driver: string; prefix?: string } | undefined {
    const actor = this.#actors.get(actorId)
    if (!actor) return undefined
    actor.failedBroadcasts += 1
    const { name, driver, request } = actor
    return { name, driver, ...(request.logPrefix !== undefined && { prefix: request.logPrefix }) }
  }

  /** Somebody has learned that an actor died: it is theirs to handle. */
  noticed(actorId: string): void {
    this.#unhandled.noticed(actorId)
  }

  async endOwnedBy(owner: string, reason: string): Promise<void> {
    this.#unhandled.driverGone(owner)
    await Promise.all(this.#actors.ownedBy(owner).map((actor) => this.end(actor.id, reason, true)))
  }

  /** Ends all actors. */
  async endAll(reason: string): Promise<void> {
    await Promise.all([...this.#actors.values()].map((actor) => this.end(actor.id, reason, true)))
  }

  /** Has the actors on a node run their onStop. */
  async finishOn(nodeId: string): Promise<void> {
    const own = [...this.#actors.values()].filter(({ worker }) => worker?.node.id === nodeId)
    await Promise.all(own.map((actor) => this.#finish(actor)))
  }

  /** Runs the onStop of an actor, unless that takes too long. */
  async #finish({ worker }: Actor): Promise<void> {
    if (!worker?.mustFinish) return
    await worker.within(
      worker.unlessExited(worker.duties.finish()).catch(() => {}),
      STOP_TIMEOUT + STOP_GRACE,
    )
  }

  /** The actor of a process has a hook that runs before it ends in order. */
  mustFinish(processId: string): void {
    const worker = this.#workers.of(processId)
    if (worker) worker.mustFinish = true
  }

  /** The actor of a process has been asked to end itself, and is ended if its onStop does not end. */
  stopping(processId: string): void {
    const actor = this.#actors.of(processId)
    if (!actor) return
    actor.ending ??= 'it was stopped'
    const { worker } = actor
    if (!worker?.mustFinish) return
    void worker.within(worker.exited, STOP_TIMEOUT + STOP_GRACE).then((outcome) => {
      if (outcome === LATE && worker.mustFinish) void this.end(actor.id, 'it was stopped')
    })
  }

  /** The actor of a process has run its onStop. */
  finished(processId: string): void {
    const worker = this.#workers.of(processId)
    if (worker) worker.mustFinish = false
  }

  countOn(nodeId: string): number {
    return this.#actors.countOn(nodeId)
  }

  /** Ends the actors of a placement group. */
  async endGroup(group: string): Promise<void> {
    const members = [...this.#actors.values()].filter((actor) => actor.request.place.bundle?.group === group)
    await Promise.all(members.map((actor) => this.end(actor.id, 'its placement group was removed', true)))
  }

  /** The working directories that living actors are in. */
  directories(): DirectoryId[] {
    return [...this.#actors.values()].flatMap(({ directory }) => directory ?? [])
  }

  /** The living actors. */
  list(): ActorInfo[] {
    return [...this.#actors.values()].map((actor) => {
      const { id, name, namespace, state, worker, grant, restarts, request, death } = actor
      const pid = worker?.pid ?? 0
      const { resources } = request.place
      const { className } = request.actorClass
      const nodeId = (grant ?? worker)?.node.id ?? ''
      const { isolation } = request
      return {
        id,
        name,
        namespace,
        className,
        isolation,
        state,
        pid,
        nodeId,
        restarts,
        resources,
        reason: death?.reason,
        failedBroadcasts: actor.failedBroadcasts,
      }
    })
  }

  /**
   * The process of a living actor, by the actor's name or id.
   *
   * @throws InvalidInputError if there is none, or several of that name
   */
  processOf(nameOrId: string): { name: string; worker: WorkerProcess } {
    const found = [...this.#actors.values()].filter(({ id, name }) => id === nameOrId || name === nameOrId)
    const [actor] = found
    if (found.length === 1 && actor?.worker) return { name: actor.name, worker: actor.worker }
    const ids = found.map(({ id }) => id).join(', ')
    if (found.length > 1)
      throw new InvalidInputError(`several actors are named ${nameOrId}; give the id of one: ${ids}`)
    throw new InvalidInputError(
      `no actor named ${nameOrId} ${actor ? 'has a process now' : 'lives'}; \`troupe list actors\` shows those that do`,
    )
  }

  /** Starts the actor's process; that of a new actor which dies while it starts is started anew where restarts are left. */
  async #launch(actor: Actor): Promise<void> {
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
        await this.#pauseBeforeRestart(actor)
        actor.restarts += 1
      }
    } catch (error) {
      const death = error instanceof WorkerExit ? error.death : { reason: String(error) }
      if (isNew) this.#died(actor, death)
      // An actor that was ended while it waited had nothing to give back then.
      else if (actor.ending !== undefined) this.#giveBack(actor)
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
      if (worker && actor.worker === worker) this.#exited(actor, death)
    }
    try {
      if (actor.grant && !this.#nodes.has(actor.grant.node.id)) this.#place(actor, undefined)
      if (!actor.local && !actor.grant) this.#place(actor, await this.#scheduler.acquire(this.#demandOf(actor)))
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
      const become = worker.unlessExited(worker.duties.become(spec))
      void this.#limitImport(actor, worker, become)
      await become
      if (actor.ending !== undefined) throw new WorkerExit({ reason: actor.ending })
      if (worker.death) throw new WorkerExit(worker.death)
    } catch (error) {
      const death = error instanceof WorkerExit ? error.death : { reason: String(error) }
      if (worker) void this.#workers.end(worker, death)
      throw error
    }
    actor.worker = worker
    if (actor.state === 'starting') actor.state = 'alive'
    this.#actors.inProcess(actor, worker.processId)
  }

  /** Nobody would ever hear of a module whose import does not end, by an endless loop or what it awaits. */
  async #limitImport(actor: Actor, worker: WorkerProcess, become: Promise<void>): Promise<void> {
    const { actorClass, startTimeout } = actor.request
    const imported = worker.untilImported(
      actor.id,
      startTimeout,
      become.then(() => true),
    )
    if ((await imported.catch(() => undefined)) !== LATE) return
    const reason = `its ${notImported(actorClass.module, startTimeout)}`
    if (actor.worker === worker) await this.end(actor.id, reason)
    else await this.#workers.end(worker, { reason, isRefused: true })
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
    if (local) return this.#workers.start(local, settings, holder, { timeout })
    const { node, taken } = grant!
    const thread = { group: driver || id, gpus: taken.gpus }
    if (isThread) return this.#workers.start(node, settings, holder, { thread, timeout })
    const isPlain = Object.values(settings).every((setting) => setting === undefined)
    if (isPlain) return this.#workers.take(node, holder, false, timeout)
    return this.#workers.start(node, settings, holder, { timeout })
  }

  /** The process of a living actor has ended. */
  #exited(actor: Actor, death: Death): void {
    void this.endOwnedBy(actor.worker!.processId, `its owner ${actor.name} died`)
    this.#leaveProcess(actor)
    const isJoining = actor.isJoining
    actor.isJoining = false
    if (actor.ending === undefined && actor.restarts < actor.allowed) {
      if (!isJoining) this.#restartSiblings(actor)
      void this.#restart(actor, death)
    } else if (actor.ending === undefined) void this.#supervise(actor, death)
    else this.#died(actor, { reason: actor.ending })
  }

  /** In a mesh whose strategy is all-for-one, the others are restarted with a member that is. */
  #restartSiblings({ request, id }: Actor): void {
    if (request.strategy === 'one-for-one') return
    for (const sibling of this.#actors.values()) {
      if (sibling.request !== request || sibling.id === id || sibling.state !== 'alive' || !sibling.worker) continue
      sibling.isJoining = true
      sibling.allowed = Math.max(sibling.allowed, sibling.restarts + 1)
      void this.#workers.end(sibling.worker, { reason: 'another member of its mesh died' })
    }
  }

  /** Asks those who own the actor, from the nearest one up, whether it shall live again. */
  async #supervise(actor: Actor, death: Death): Promise<void> {
    if (!actor.request.isSupervised) {
      this.#fail(actor, death)
      return
    }
    actor.state = 'restarting'
    this.#bury(actor, death)
    this.#tell(actor, { state: 'restarting', death })
    let decision: Decision | undefined
    for (let owner: string | undefined = actor.owner; owner && !isHandled(decision); ) {
      const processId: string = owner
      decision = await this.#supervision.supervise(processId, failureOf(actor, death))
      owner = this.#actors.of(processId)?.owner
    }
    if (actor.ending !== undefined) return
    if (decision === 'stop') this.#died(actor, death)
    else if (!isHandled(decision)) this.#fail(actor, death)
    if (decision !== 'restart' && decision !== 'replace') return
    if (decision === 'replace') this.#giveBack(actor)
    actor.allowed = actor.restarts + 1
    this.#restartSiblings(actor)
    await this.#restart(actor, death)
  }

  async #restart(actor: Actor, death: Death): Promise<void> {
    actor.state = 'restarting'
    this.#bury(actor, death)
    this.#tell(actor, { state: 'restarting', death })
    while (actor.ending === undefined) {
      if (actor.restarts >= actor.allowed) {
        await this.#supervise(actor, actor.death!)
        return
      }
      if (actor.restarts > 0) await this.#pauseBeforeRestart(actor)
      if (actor.ending !== undefined) return
      actor.restarts += 1
      try {
        await this.#launch(actor)
        const worker = actor.worker!
        const args = actor.request.creation![actor.member]!
        await worker.unlessExited(worker.duties.reconstruct(args, actor.restarts, actor.death!.reason))
      } catch (error) {
        if (actor.ending !== undefined) return
        if (error instanceof WorkerExit) this.#bury(actor, error.death)
        else if (error instanceof ActorDiedError) this.#bury(actor, error)
        else {
          const { worker } = actor
          this.#leaveProcess(actor)
          if (worker) await this.#workers.end(worker, { reason: 'it could not be constructed anew' })
          this.#fail(actor, { reason: `it could not be constructed anew: ${error}`, cause: error })
          return
        }
        continue
      }
      actor.state = 'alive'
      actor.isConstructed = true
      for (const tell of actor.awaited.splice(0)) tell()
      this.#tell(actor, stateOf(actor))
      return
    }
  }

  async #pauseBeforeRestart({ restarts }: Actor): Promise<void> {
    const delay = Math.min(RESTART_DELAY.least * 2 ** Math.max(0, restarts - 1), RESTART_DELAY.most)
    await new Promise((resolve) => setTimeout(resolve, delay))
  }

  /** An actor holds something of a node from now on, or nothing. */
  #place(actor: Actor, grant: Grant | undefined): void {
    actor.grant = grant
    this.#actors.onNode(actor, grant?.node.id)
  }

  #giveBack(actor: Actor): void {
    const { grant } = actor
    this.#place(actor, undefined)
    if (grant) this.#scheduler.release(grant)
  }

  #leaveProcess(actor: Actor): void {
    actor.worker = undefined
    this.#actors.inProcess(actor, undefined)
  }

  #bury(actor: Actor, { reason, lines, cause }: Death): void {
    actor.death = { reason, lines, cause }
  }

  /** An actor has died, and nobody up the tree has decided about it. */
  #fail(actor: Actor, death: Death): void {
    const failure = failureOf(actor, death)
    this.#died(actor, death)
    const driver = this.#supervision.driver(actor.driver)
    if (driver) this.#unhandled.add(actor.driver, failure, [driver, ...actor.watchers])
  }

  #died(actor: Actor, death: Death): void {
    if (!this.#actors.delete(actor)) {
      // It was ended while it waited, and has been given something since.
      this.#giveBack(actor)
      return
    }
    this.#names.release(actor.namespace, actor.name, actor.id)
    this.#giveBack(actor)
    this.#dead.set(actor.id, death)
    if (this.#dead.size > REMEMBERED_DEAD) this.#dead.delete(this.#dead.keys().next().value!)
    for (const tell of actor.awaited.splice(0)) tell()
    this.#tell(actor, { state: 'dead', death })
    for (const peer of actor.watchers) this.#watched.get(peer)?.delete(actor)
  }

  #tell(actor: Actor, state: ActorState): void {
    for (const peer of actor.watchers) peer.notify('actorChanged' satisfies keyof HeadEvents, actor.id, state)
  }

  #demandOf({ id, name, driver, owner, member, preferred, request: { place } }: Actor): Demand {
    const { bundle, bundles = 1, ...where } = place
    const own = bundle && { group: bundle.group, index: bundle.index + (member % bundles) }
    return { what: name, actor: id, driver, owner, preferred, ...where, bundle: own }
  }

  /** Where the members of a mesh go that need no resources in particular: blocks over the nodes. */
  #preferredNodes({ members, dimensions, place }: SpawnRequest): (string | undefined)[] {
    const nodes = [...this.#nodes.values()].map(({ id }) => ({ id, actors: this.countOn(id) }))
    const isFree = !place.labels && place.nodeId === undefined
    return dimensions && isFree ? placeMesh(nodes, dimensions).map(({ id }) => id) : members.map(() => undefined)
  }
}

function recordOf(actor: Actor): ActorRecord {
  const { id, name, worker, restarts, request } = actor
  const { maxRestarts, maxTaskRetries, maxPendingCalls } = request
  const { pid, address } = worker!
  return {
    id,
    name,
    pid,
    address,
    methods: request.actorClass.methods,
    generators: request.actorClass.generators,
    restarts,
    restartable: maxRestarts > 0 || request.isSupervised,
    maxTaskRetries,
    maxPendingCalls,
  }
}

function isHandled(decision: Decision | undefined): boolean {
  return decision === 'restart' || decision === 'replace' || decision === 'stop'
}

function failureOf({ id, name, request, restarts }: Actor, { reason, lines = [] }: Death): ActorFailure {
  return { id, name, className: request.actorClass.className, restarts, reason, lines }
}

function stateOf(actor: Actor): ActorState {
  if (actor.state === 'restarting' || !actor.worker) {
    return { state: 'restarting', death: actor.death ?? { reason: 'its process has not started yet' } }
  }
  return { state: 'alive', record: recordOf(actor) }
}
