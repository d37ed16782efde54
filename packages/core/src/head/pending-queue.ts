import { ClusterLostError, QueueFullError } from '../common/errors.js'
import type { Resources } from '../protocol/resources.js'
import type { ResourcePool } from './resource-pool.js'
import { type WaitingDemand, WaitReports } from './wait-reports.js'

/** Demands that may wait; further ones fail. */
const MAX_WAITING = 10_000
/** Milliseconds after which no other may pass a demand that waits. */
const PATIENCE = 1000
/** Milliseconds that others may not pass for, before they may again for as long. */
const RESERVED_FOR = 10_000
/** Demands at the front of the line that others may not pass. */
const MOST_RESERVED = 16

/** The demand that waits. */
export interface Waiter {
  /** The name of the actor, task or group that asks, in messages. */
  readonly what: string
  readonly resources: Resources
  readonly owner?: string | undefined
  readonly driver?: string | undefined
  readonly actor?: string | undefined
  readonly isNested?: boolean | undefined
}

/** The attempt to meet a demand. */
export interface Attempt<T> {
  /** Demands of the same kind want the same of the same places: where one does not fit, later ones do not. */
  readonly kind?: string | undefined
  /** Takes what is demanded if it is free; `place` is that of the demand in the line. */
  attempt(place: number): T | undefined
  /** The resources that are missing, for a report. */
  missing(): string
  /** The pools to be kept for the demand. */
  wanted(): readonly ResourcePool[]
}

interface Waiting {
  readonly place: number
  readonly since: number
  readonly waiter: Waiter
  readonly kind: string | undefined
  readonly wanted: () => readonly ResourcePool[]
  readonly attempt: () => boolean
  readonly fail: (error: unknown) => void
  readonly isReported: boolean
  readonly missing: () => string
}

/**
 * Demands that wait for resources, in the order they came. One that fits may pass those before it that do not fit yet, until
 * they have waited for a second: from then on the node that could meet such a demand soonest is kept for it, so that many
 * small demands do not starve a large one. It is kept for ten seconds at a time, with breaks as long in which others may pass,
 * because what occupies it may never end, or may wait for one of the others. Tasks that a running task waits for always pass.
 */
export class PendingQueue {
  readonly #waiting = new Set<Waiting>()
  readonly #reports: WaitReports
  #places = 0
  #again: NodeJS.Timeout | undefined

  /** @param warn tells a driver what its demands wait for */
  constructor(warn: (message: string, driver: string | undefined) => void) {
    this.#reports = new WaitReports(warn)
  }

  /**
   * Waits until a demand is met.
   *
   * @param isReported whether to warn of the wait
   * @throws QueueFullError if too many wait already; TroupeError if the demand is dropped
   */
  wait<T>(waiter: Waiter, isReported: boolean, { attempt, missing, wanted, kind }: Attempt<T>): Promise<T> {
    const { what } = waiter
    if (this.#waiting.size >= MAX_WAITING) {
      throw new QueueFullError(`${what} cannot be queued: ${MAX_WAITING} others wait for resources already`)
    }
    return new Promise((resolve, reject) => {
      const place = ++this.#places
      this.#waiting.add({
        place,
        since: Date.now(),
        waiter,
        kind,
        wanted,
        isReported,
        missing,
        attempt: () => {
          const result = attempt(place)
          if (result !== undefined) resolve(result)
          return result !== undefined
        },
        fail: reject,
      })
      this.#attemptLater()
    })
  }

  /** Whether a pool is kept from a demand for one that has waited longer; `place` is where it stands, if it waits too. */
  keeps(pool: ResourcePool, { resources, isNested }: Waiter, place = Number.POSITIVE_INFINITY): boolean {
    if (isNested || this.#waiting.size === 0) return false
    const now = Date.now()
    let considered = 0
    for (const waiting of this.#waiting) {
      const waited = now - waiting.since
      if (waiting.place >= place || waited < PATIENCE || ++considered > MOST_RESERVED) return false
      const isBreak = Math.floor((waited - PATIENCE) / RESERVED_FOR) % 2 === 1
      if (!isBreak && competes(resources, waiting.waiter.resources) && waiting.wanted().includes(pool)) return true
    }
    return false
  }

  /** Meets the demands that can be met now. */
  attempt(): void {
    const unfit = new Set<string>()
    for (const waiting of this.#waiting) {
      if (waiting.kind !== undefined && unfit.has(waiting.kind)) continue
      try {
        if (waiting.attempt()) this.#remove(waiting)
        else if (waiting.kind !== undefined) unfit.add(waiting.kind)
      } catch (error) {
        this.#remove(waiting)
        waiting.fail(error)
      }
    }
  }

  /** Gives up some of the demands. */
  drop(isDropped: (waiter: Waiter) => boolean): void {
    const dropped = [...this.#waiting].filter(({ waiter }) => isDropped(waiter))
    for (const waiting of dropped) {
      this.#remove(waiting)
      waiting.fail(
        new ClusterLostError(
          `${waiting.waiter.what} is not waited for any more: who asked for it has left the cluster`,
        ),
      )
    }
    // They may have kept something from others.
    if (dropped.length > 0) this.attempt()
  }

  #remove(waiting: Waiting): void {
    this.#waiting.delete(waiting)
  }

  *#reported(): Iterable<WaitingDemand> {
    for (const { isReported, since, waiter, missing } of this.#waiting) {
      if (isReported) yield { what: waiter.what, driver: waiter.driver, since, missing }
    }
  }

  /** A break may begin without anything being released. */
  #attemptLater(): void {
    this.#again ??= setTimeout(() => {
      this.#again = undefined
      this.attempt()
      this.#reports.look(this.#reported(), Date.now())
      if (this.#waiting.size > 0) this.#attemptLater()
    }, PATIENCE)
    this.#again.unref()
  }
}

function competes(left: Resources, right: Resources): boolean {
  return Object.entries(left).some(([name, amount]) => amount > 0 && (right[name] ?? 0) > 0)
}
