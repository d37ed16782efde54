import { ActorDiedError } from '../common/errors.js'
import type { ActorFailure, Decision } from '../common/hooks.js'
import type { Death } from '../protocol/actor.js'
import type { Peer } from '../transport/peer.js'
import type { ActorLauncher } from './actor-launcher.js'
import type { ActorRegistry } from './actor-registry.js'
import { type Actor, failureOf, stateOf } from './records.js'
import type { FailureReports, UnhandledFailures } from './unhandled-failures.js'
import { WorkerExit, type WorkerPool } from './worker-pool.js'

/** Supervisors to ask, and owners to tell, about failures of actors. */
export interface FailureHandlers extends FailureReports {
  /** Asks a process what becomes of an actor that it owns. */
  supervise(processId: string, failure: ActorFailure): Promise<Decision | undefined>
  /** The connection with a driver. */
  driver(processId: string): Peer | undefined
}

/** Consequences of an actor's death, for the table that keeps it. */
export interface DeathEvents {
  died(actor: Actor, death: Death): void
  endOwnedBy(owner: string, reason: string): Promise<void>
}

/** Decides what becomes of actors whose processes have ended: they are restarted, or their owners are asked. */
export class Supervision {
  constructor(
    private readonly actors: ActorRegistry,
    private readonly workers: WorkerPool,
    private readonly launcher: ActorLauncher,
    private readonly asked: FailureHandlers,
    private readonly unhandled: UnhandledFailures,
    private readonly events: DeathEvents,
  ) {}

  /** The process of a living actor has ended. */
  exited(actor: Actor, death: Death): void {
    void this.events.endOwnedBy(actor.worker!.processId, `its owner ${actor.name} died`)
    this.#leaveProcess(actor)
    const isJoining = actor.isJoining
    actor.isJoining = false
    if (actor.ending === undefined && actor.restarts < actor.allowed) {
      if (!isJoining) this.#restartSiblings(actor)
      void this.#restart(actor, death)
    } else if (actor.ending === undefined) void this.#supervise(actor, death)
    else this.events.died(actor, { reason: actor.ending })
  }

  /** Restarts the others of a mesh with a member, if its strategy is all-for-one. */
  #restartSiblings({ request, id }: Actor): void {
    if (request.strategy === 'one-for-one') return
    for (const sibling of this.actors.values()) {
      if (sibling.request !== request || sibling.id === id || sibling.state !== 'alive' || !sibling.worker) continue
      sibling.isJoining = true
      sibling.allowed = Math.max(sibling.allowed, sibling.restarts + 1)
      void this.workers.end(sibling.worker, { reason: 'another member of its mesh died' })
    }
  }

  /** Asks the owners of the actor, from the nearest one up, whether it shall live again. */
  async #supervise(actor: Actor, death: Death): Promise<void> {
    if (!actor.request.isSupervised) {
      this.#fail(actor, death)
      return
    }
    actor.state = 'restarting'
    this.#bury(actor, death)
    this.actors.tell(actor, { state: 'restarting', death })
    let decision: Decision | undefined
    for (let owner: string | undefined = actor.owner; owner && !isHandled(decision); ) {
      const processId: string = owner
      decision = await this.asked.supervise(processId, failureOf(actor, death))
      owner = this.actors.of(processId)?.owner
    }
    if (actor.ending !== undefined) return
    if (decision === 'stop') this.events.died(actor, death)
    else if (!isHandled(decision)) this.#fail(actor, death)
    if (decision !== 'restart' && decision !== 'replace') return
    if (decision === 'replace') this.launcher.giveBack(actor)
    actor.allowed = actor.restarts + 1
    this.#restartSiblings(actor)
    await this.#restart(actor, death)
  }

  async #restart(actor: Actor, death: Death): Promise<void> {
    actor.state = 'restarting'
    this.#bury(actor, death)
    this.actors.tell(actor, { state: 'restarting', death })
    while (actor.ending === undefined) {
      if (actor.restarts >= actor.allowed) {
        await this.#supervise(actor, actor.death!)
        return
      }
      if (actor.restarts > 0) await this.launcher.pauseBeforeRestart(actor)
      if (actor.ending !== undefined) return
      actor.restarts += 1
      try {
        await this.launcher.launch(actor)
        const worker = actor.worker!
        const args = actor.request.creation![actor.member]!
        await worker.unlessExited(worker.service.reconstruct(args, actor.restarts, actor.death!.reason))
      } catch (error) {
        if (actor.ending !== undefined) return
        if (error instanceof WorkerExit) this.#bury(actor, error.death)
        else if (error instanceof ActorDiedError) this.#bury(actor, error)
        else {
          const { worker } = actor
          this.#leaveProcess(actor)
          if (worker) await this.workers.end(worker, { reason: 'it could not be constructed anew' })
          this.#fail(actor, { reason: `it could not be constructed anew: ${error}`, cause: error })
          return
        }
        continue
      }
      actor.state = 'alive'
      actor.isConstructed = true
      for (const tell of actor.awaited.splice(0)) tell()
      this.actors.tell(actor, stateOf(actor))
      return
    }
  }

  #leaveProcess(actor: Actor): void {
    actor.worker = undefined
    this.actors.inProcess(actor, undefined)
  }

  #bury(actor: Actor, { reason, lines, cause }: Death): void {
    actor.death = { reason, lines, cause }
  }

  /** An actor has died, and nobody up the tree has decided about it. */
  #fail(actor: Actor, death: Death): void {
    const failure = failureOf(actor, death)
    this.events.died(actor, death)
    const driver = this.asked.driver(actor.driver)
    if (driver) this.unhandled.add(actor.driver, failure, [driver, ...actor.watchers])
  }
}

function isHandled(decision: Decision | undefined): boolean {
  return decision === 'restart' || decision === 'replace' || decision === 'stop'
}
