/** Milliseconds from a driver's first line to the next; each later one takes twice as long, up to the most. */
const FIRST_PAUSE = 10_000
const MOST_PAUSE = 5 * 60_000

/** Milliseconds that the oldest demand of a driver has waited for when it is told. */
const PATIENCE = 1000

/** A demand that waits. */
export interface WaitingDemand {
  /** The name of the actor, task or group that asks. */
  readonly what: string
  readonly driver?: string | undefined
  /** The time when it came, in milliseconds on a clock. */
  readonly since: number
  /** The resources that are missing. */
  missing(): string
}

/** Tells each driver what its demands wait for, in one line that counts them and comes again ever more rarely. */
export class WaitReports {
  readonly #warn: (message: string, driver: string | undefined) => void
  readonly #told = new Map<string | undefined, { readonly next: number; readonly pause: number }>()

  constructor(warn: (message: string, driver: string | undefined) => void) {
    this.#warn = warn
  }

  /**
   * Looks whether there is something to tell.
   *
   * @param waiting all that wait, the oldest first
   * @param now milliseconds on the same clock
   */
  look(waiting: Iterable<WaitingDemand>, now: number): void {
    const drivers = new Map<string | undefined, { first: WaitingDemand; count: number }>()
    for (const one of waiting) {
      const known = drivers.get(one.driver)
      if (known) known.count += 1
      else drivers.set(one.driver, { first: one, count: 1 })
    }
    for (const [driver, { next }] of this.#told) if (now >= next && !drivers.has(driver)) this.#told.delete(driver)
    for (const [driver, { first, count }] of drivers) {
      const { next, pause } = this.#told.get(driver) ?? { next: now, pause: FIRST_PAUSE }
      if (now < next || now - first.since < PATIENCE) continue
      this.#told.set(driver, { next: now + pause, pause: Math.min(pause * 2, MOST_PAUSE) })
      const others = count === 1 ? '' : `, and ${count - 1} others wait for resources, too`
      this.#warn(`${first.what} waits for ${first.missing()}${others}`, driver)
    }
  }
}
