import type { Resources } from '../protocol/resources.js'

/** Resources that were taken out of a pool. */
export interface Taken {
  readonly resources: Resources
  /** The numbers of the GPUs on their node. */
  readonly gpus: readonly number[]
}

/** Fractions add up to a whole again although each is rounded. */
const ROUNDING = 1e-9

/** Resources that are taken and given back: those of a node, or of a bundle of a placement group. */
export class ResourcePool {
  readonly #free: Map<string, number>
  readonly #gpus: Map<number, number>

  /** @param gpus the numbers of its GPUs, with how much of each is in the pool */
  constructor(
    readonly total: Resources,
    gpus: Iterable<readonly [number, number]> = Array.from(
      { length: total.gpu ?? 0 },
      (_, index) => [index, 1] as const,
    ),
  ) {
    this.#free = new Map(Object.entries(total))
    this.#gpus = new Map(gpus)
  }

  get free(): Resources {
    return Object.fromEntries(this.#free)
  }

  /** The part of a request that is not free now, as `gpu: 2 (0.5 free)`; empty if it fits. */
  lacks(request: Resources, from: Resources = this.free): string[] {
    const missing = Object.entries(request)
      .filter(([name, amount]) => amount > (from[name] ?? 0) + ROUNDING)
      .map(([name, amount]) => `${name}: ${amount} (${round(from[name] ?? 0)} free)`)
    const { gpu = 0 } = request
    if (missing.length === 0 && gpu > 0 && from !== this.total && !this.#gpusFor(gpu)) {
      missing.push(`gpu: ${gpu} (in one piece)`)
    }
    return missing
  }

  /** The part of a request that the pool never has, as `gpu: 2 (of 1)`. */
  neverHas(request: Resources): string[] {
    return Object.entries(request)
      .filter(([name, amount]) => amount > (this.total[name] ?? 0) + ROUNDING)
      .map(([name, amount]) => `${name}: ${amount} (of ${round(this.total[name] ?? 0)})`)
  }

  /** Takes what was asked for; undefined if that is not free. */
  take(resources: Resources): Taken | undefined {
    if (this.lacks(resources).length > 0) return undefined
    const gpus = this.#gpusFor(resources.gpu ?? 0)!
    const taken = { resources, gpus }
    this.#move(taken, -1)
    return taken
  }

  give(taken: Taken): void {
    this.#move(taken, 1)
  }

  /** Takes back what was given only for a while, even if that is not free now. */
  retake(taken: Taken): void {
    this.#move(taken, -1)
  }

  #move({ resources, gpus }: Taken, sign: 1 | -1): void {
    for (const [name, amount] of Object.entries(resources)) {
      this.#free.set(name, (this.#free.get(name) ?? 0) + sign * amount)
    }
    const { gpu = 0 } = resources
    for (const index of gpus) this.#gpus.set(index, (this.#gpus.get(index) ?? 0) + (sign * gpu) / gpus.length)
  }

  /** The fullest GPU that has room for a part of one, or that many whole ones. */
  #gpusFor(gpu: number): number[] | undefined {
    if (gpu === 0) return []
    const candidates = [...this.#gpus].filter(([, free]) => free >= Math.min(gpu, 1) - ROUNDING)
    candidates.sort(([, left], [, right]) => left - right)
    const count = Math.max(1, gpu)
    return candidates.length >= count ? candidates.slice(0, count).map(([index]) => index) : undefined
  }
}

function round(amount: number): number {
  return Number(amount.toFixed(6))
}
