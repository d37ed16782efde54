import { ActorDiedError } from '../common/errors.js'
import { LATE } from '../common/timer.js'
import type { ActorState, Death, Spawned, SpawnRequest } from '../protocol/actor.js'
import { STOP_TIMEOUT } from '../protocol/actor.js'
import { randomId } from '../transport/connection-manager.js'
import type { Peer } from '../transport/peer.js'
import { ActorLauncher } from './actor-launcher.js'
import type { ActorRegistry } from './actor-registry.js'
import type { ClusterScheduler } from './cluster-scheduler.js'
import { type Actor, type Node, type Owner, recordOf, stateOf } from './records.js'
import { type FailureHandlers, Supervision } from './supervision.js'
import { UnhandledFailures } from './unhandled-failures.js'
import type { WorkerPool } from './worker-pool.js'

/** Milliseconds that an actor's process has on top to say that its onStop has run, or has been given up. */
const STOP_GRACE = 500

/** The cluster's actors: spawns them over the nodes, restarts them, and tells who watches them what becomes of them. */
export class ActorTable {
  readonly #scheduler: ClusterScheduler
  readonly #workers: WorkerPool
  readonly #actors: ActorRegistry
  readonly #launcher: ActorLauncher
  readonly #unhandled: UnhandledFailures

  /** @param registry keeps the actors, and answers questions about them */
  constructor(
    nodes: ReadonlyMap<string, Node>,
    registry: ActorRegistry,
    scheduler: ClusterScheduler,
    workers: WorkerPool,
    handlers: FailureHandlers,
  ) {
    this.#actors = registry
    this.#scheduler = scheduler
    this.#workers = workers
    this.#unhandled = new UnhandledFailures(handlers)
    const died = (actor: Actor, death: Death) => this.#died(actor, death)
    this.#launcher = new ActorLauncher(nodes, scheduler, workers, this.#actors, {
      exited: (actor, death) => supervision.exited(actor, death),
      died,
      end: (actorId, reason) => this.end(actorId, reason),
    })
    const endOwnedBy = (owner: string, reason: string) => this.endOwnedBy(owner, reason)
    const supervision = new Supervision(this.#actors, workers, this.#launcher, handlers, this.#unhandled, {
      died,
      endOwnedBy,
    })
  }

  /**
   * Starts a worker process for each member, all at once.
   *
   * @throws InvalidInputError if the name is taken or the node is unknown
   * @throws ActorDiedError if a process does not start; the others are ended
   */
  async spawn(request: SpawnRequest, owner: Owner): Promise<Spawned[]> {
    const namespace = request.namespace ?? owner.namespace
    while (request.getIfExists && this.#actors.hasName(namespace, request.name!)) {
      const record = await this.#actors.lookUp(request.name!, namespace)
      if (record) return [{ record, existed: true, isConstructed: true }]
    }
    const preferred = this.#launcher.preferredNodes(request)
    const ids = request.members.map(() => randomId())
    const names = this.#actors.assignNames(request, namespace, ids)
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
    // All that fit at once are placed before any of them starts.
    for (const actor of actors.filter(({ local }) => !local)) {
      try {
        this.#launcher.placeAtOnce(actor)
      } catch (error) {
        for (const { id } of actors) void this.end(id, 'its mesh cannot be placed')
        throw error
      }
    }
    const outcomes = await Promise.allSettled(actors.map((actor) => this.#launcher.launch(actor)))
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
        const death = this.#actors.deathOf(missing.id) ?? { reason: 'its process ended before it was constructed' }
        return new ActorDiedError(missing.name, death.reason, death)
      }
      await new Promise<void>((resolve) => missing.awaited.push(resolve))
    }
  }

  /**
   * The state of an actor; the peer is told of every change.
   *
   * @param lost a process of the actor that the peer's connection with broke
   */
  async watch(actorId: string, peer: Peer, lost?: string): Promise<ActorState> {
    const watched = this.#actors.get(actorId)
    if (watched) this.#actors.watch(watched, peer)
    const worker = watched?.worker
    // Its end may be about to be reported, and is what the peer wants to know of.
    if (worker && (worker.isDisconnected || worker.processId === lost)) await worker.livesOrExited()
    const actor = this.#actors.get(actorId)
    if (!actor) {
      this.#unhandled.learning(actorId, peer)
      const death = this.#actors.deathOf(actorId) ?? { reason: 'the cluster does not know it any more' }
      return { state: 'dead', death }
    }
    return stateOf(actor)
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
      worker.unlessExited(worker.service.finish()).catch(() => {}),
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

  /** Ends the actors of a placement group. */
  async endGroup(group: string): Promise<void> {
    const members = [...this.#actors.values()].filter((actor) => actor.request.place.bundle?.group === group)
    await Promise.all(members.map((actor) => this.end(actor.id, 'its placement group was removed', true)))
  }

  #died(actor: Actor, death: Death): void {
    const isNews = this.#actors.remove(actor, death)
    // One that was ended while it waited may have been given something since.
    this.#launcher.giveBack(actor)
    if (!isNews) return
    for (const tell of actor.awaited.splice(0)) tell()
    this.#actors.tell(actor, { state: 'dead', death })
    this.#actors.dropWatchers(actor)
  }
}
