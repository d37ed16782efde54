import type { LoadProgress } from './stage-parts.js'

/** How much all workers have loaded together, told once each has said how much it has to. */
export class LoadGauge {
  readonly #progress = new Map<string, LoadProgress>()
  #isClosed = false

  constructor(
    private readonly workers: number,
    private readonly report: ((progress: LoadProgress) => void) | undefined,
  ) {}

  update(replica: number, rank: number, progress: LoadProgress): void {
    this.#progress.set(`${replica} ${rank}`, progress)
    if (this.#isClosed || this.#progress.size < this.workers) return
    const all = [...this.#progress.values()]
    const total = (pick: (one: LoadProgress) => number) => all.reduce((sum, one) => sum + pick(one), 0)
    this.report?.({
      loadedBytes: total(({ loadedBytes }) => loadedBytes),
      totalBytes: total(({ totalBytes }) => totalBytes),
    })
  }

  /** From now on nothing is told: workers that take the place of others load when nobody waits for them. */
  close(): void {
    this.#isClosed = true
  }
}
