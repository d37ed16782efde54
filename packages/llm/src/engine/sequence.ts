import { countBelow, zigzagPartition } from '../parallel/zigzag.js'
import type { BlockPool } from './cache.js'

/** The tokens that one sequence rank got of those appended to a sequence. */
export interface DealtTokens {
  ids: number[]
  /** In the text. */
  positions: number[]
  /** Where in the cache their keys and values go. */
  slots: number[]
  /** The blocks that were taken for them, and the place in the sequence's block table that the first one has. */
  blocks: number[]
  firstBlock: number
}

/** One text in the making: which of its tokens each sequence rank caches, and where. */
export class CachedSequence {
  /** For each sequence rank the positions of the tokens that it caches, rising. */
  readonly #positions: number[][]
  readonly #blocks: number[][]
  #length = 0

  /**
   * @param reserved The blocks that were reserved for it on each rank.
   * @param row Its row in the workers' block tables.
   */
  constructor(
    private readonly pool: BlockPool,
    readonly reserved: number,
    readonly row: number,
  ) {
    this.#positions = Array.from({ length: pool.ranks }, () => [])
    this.#blocks = this.#positions.map(() => [])
  }

  /** Tokens so far. */
  get length(): number {
    return this.#length
  }

  /** Appends tokens; gives each sequence rank's share of them. */
  append(ids: readonly number[]): DealtTokens[] {
    const held = this.#positions.map((positions) => positions.length)
    const dealt = zigzagPartition(ids.length, held).map((offsets, rank) => this.#store(ids, offsets, rank))
    this.#length += ids.length
    return dealt
  }

  /** Forgets the tokens from a position on, whose blocks are used again. */
  truncate(length: number): void {
    const { blockTokens } = this.pool
    this.#positions.forEach((positions, rank) => {
      positions.length = countBelow(positions, length)
      const dropped = this.#blocks[rank]!.splice(Math.ceil(positions.length / blockTokens))
      if (dropped.length > 0) this.pool.giveBack(rank, dropped)
    })
    this.#length = Math.min(this.#length, length)
  }

  /** How many of its tokens before `position` a rank caches. */
  cachedBefore(position: number, rank: number): number {
    return countBelow(this.#positions[rank]!, position)
  }

  /** Gives the cache blocks back. */
  release(): void {
    this.pool.free(this.reserved, this.#blocks)
  }

  #store(ids: readonly number[], offsets: readonly number[], rank: number): DealtTokens {
    const { blockTokens } = this.pool
    const cached = this.#positions[rank]!
    const blocks = this.#blocks[rank]!
    const firstBlock = blocks.length
    const positions = offsets.map((offset) => this.#length + offset)
    const slots = positions.map((position) => {
      const index = cached.push(position) - 1
      if (index % blockTokens === 0) blocks.push(this.pool.take(rank))
      return blocks.at(-1)! * blockTokens + (index % blockTokens)
    })
    return {
      ids: offsets.map((offset) => ids[offset]!),
      positions,
      slots,
      blocks: blocks.slice(firstBlock),
      firstBlock,
    }
  }
}
