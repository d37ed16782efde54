import type { ActorFailure } from '../api/hooks.js'

/** Milliseconds after the death of an actor within which somebody must learn of it, or nobody has handled it. */
const NOTICE = 2000

/** Failures of actors that no supervisor has decided on, until somebody has learned of them or their driver is told. */
export class UnhandledFailures {
  readonly #waiting = new Map<string, { readonly driver: string; readonly timer: NodeJS.Timeout }>()
  readonly #tell: (driver: string, failure: ActorFailure) => void

  /** @param tell tells a driver of a failure that nobody has handled */
  constructor(tell: (driver: string, failure: ActorFailure) => void) {
    this.#tell = tell
  }

  add(driver: string, failure: ActorFailure): void {
    const timer = setTimeout(() => {
      this.#waiting.delete(failure.id)
      this.#tell(driver, failure)
    }, NOTICE)
    timer.unref()
    this.#waiting.set(failure.id, { driver, timer })
  }

  /** Somebody has learned that an actor died: it is theirs to handle. */
  noticed(actorId: string): void {
    clearTimeout(this.#waiting.get(actorId)?.timer)
    this.#waiting.delete(actorId)
  }

  driverGone(driver: string): void {
    for (const [id, waiting] of this.#waiting) if (waiting.driver === driver) this.noticed(id)
  }
}
