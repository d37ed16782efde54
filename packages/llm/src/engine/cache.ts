import { blocksFor } from '../planner/deployment.js'

/**
 * Hands out the blocks of the KV cache that each sequence rank holds. Blocks are reserved before they are taken, so that a
 * sequence that has begun can always go on.
 */
export class BlockPool {
  readonly #free: number[][]
  #unreserved: number

  /** @param blocks how many each rank has */
  constructor(
    readonly ranks: number,
    readonly blocks: number,
    readonly blockTokens: number,
  ) {
    this.#free = Array.from({ length: ranks }, () => Array.from({ length: blocks }, (_, i) => blocks - 1 - i))
    this.#unreserved = blocks
  }

  /** Blocks of each rank that nobody has reserved. */
  get unreserved(): number {
    return this.#unreserved
  }

  /** Blocks that a sequence of so many tokens may need on a rank. Ranks hold as many tokens each, give or take one. */
  blocksFor(tokens: number): number {
    return blocksFor(tokens, this.ranks, this.blockTokens)
  }

  /** Reserves blocks on every rank; false if there are too few. */
  reserve(blocks: number): boolean {
    if (blocks > this.#unreserved) return false
    this.#unreserved -= blocks
    return true
  }

  /** @throws Error if none is free on the rank. */
  take(rank: number): number {
    const block = this.#free[rank]!.pop()
    if (block === undefined) throw new Error(`all ${this.blocks} blocks of the KV cache are in use`)
    return block
  }

  /** Gives back blocks that stay reserved. */
  giveBack(rank: number, blocks: readonly number[]): void {
    this.#free[rank]!.push(...blocks)
  }

  /** Gives back a reservation, and the blocks that were taken of it on each rank. */
  free(reserved: number, taken: readonly (readonly number[])[]): void {
    this.#unreserved += reserved
    taken.forEach((blocks, rank) => {
      this.giveBack(rank, blocks)
    })
  }
}
