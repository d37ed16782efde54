import type { ActorFailure } from '../common/hooks.js'
import type { HeadEvents } from '../protocol/services.js'
import { control } from '../transport/control.js'
import type { Peer } from '../transport/peer.js'

/** Milliseconds after which it is said for which processes a failure waits. */
const PATIENCE = 10_000

/** A failure, and the processes whose code may still handle it. */
interface Waiting {
  readonly driver: string
  readonly failure: ActorFailure
  readonly asked: Set<Peer>
  readonly timer: NodeJS.Timeout
}

/** Recipients of failures that nobody has handled. */
export interface FailureReports {
  unhandled(driver: string, failure: ActorFailure): void
  /** It is not known yet whether they are handled, as these processes do not answer. */
  undecided(driver: string, failure: ActorFailure, processes: readonly string[]): void
}

/**
 * Failures of actors that no supervisor has decided on, until somebody has learned of them or their driver is told. Each
 * process that may learn of one says itself when its code has had the time for that: it may be slow, blocked or stopped.
 */
export class UnhandledFailures {
  readonly #waiting = new Map<string, Waiting>()
  readonly #reports: FailureReports

  constructor(reports: FailureReports) {
    this.#reports = reports
  }

  /** @param witnesses the driver, and those that have called the actor */
  add(driver: string, failure: ActorFailure, witnesses: Iterable<Peer>): void {
    const asked = new Set<Peer>()
    const timer = setTimeout(() => {
      const processes = [...asked].map(({ identity }) => identity.processId)
      this.#reports.undecided(driver, failure, processes)
    }, PATIENCE)
    timer.unref()
    this.#waiting.set(failure.id, { driver, failure, asked, timer })
    for (const peer of witnesses) this.learning(failure.id, peer)
  }

  /** A process learns of an actor's death now, and its code may handle that. */
  learning(actorId: string, peer: Peer): void {
    const waiting = this.#waiting.get(actorId)
    if (!waiting || waiting.asked.has(peer)) return
    waiting.asked.add(peer)
    void this.#ask(waiting, peer)
  }

  /** Somebody has learned that an actor died: it is theirs to handle. */
  noticed(actorId: string): void {
    clearTimeout(this.#waiting.get(actorId)?.timer)
    this.#waiting.delete(actorId)
  }

  driverGone(driver: string): void {
    for (const [id, waiting] of this.#waiting) if (waiting.driver === driver) this.noticed(id)
  }

  async #ask(waiting: Waiting, peer: Peer): Promise<void> {
    const { driver, failure, asked } = waiting
    // Of a process that has ended nobody will handle it any more.
    const isNoticed = await control<HeadEvents>(peer)
      .noticesDeath(failure.id)
      .catch(() => false)
    asked.delete(peer)
    if (this.#waiting.get(failure.id) !== waiting || (asked.size > 0 && !isNoticed)) return
    this.noticed(failure.id)
    if (!isNoticed) this.#reports.unhandled(driver, failure)
  }
}
