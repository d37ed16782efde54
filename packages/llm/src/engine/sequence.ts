import { countBefore, rankOf } from '../parallel/striped.js'
import type { BlockPool } from './cache.js'

/** The tokens that one sequence rank got of those appended to a sequence. */
export interface DealtTokens {
  ids: number[]
  /** In the text. */
  positions: number[]
  /** Where in the cache their keys and values go. */
  slots: number[]
}

/** One text in the making: the blocks of the cache that hold its tokens. */
export class CachedSequence {
  readonly #blocks: number[] = []
  #length = 0
  /** Blocks that the workers know of, and those that can be found by their content. */
  #announced = 0
  #published = 0

  /** @param row Its row in the workers' block tables. */
  constructor(
    private readonly pool: BlockPool,
    readonly row: number,
  ) {}

  /** Tokens so far. */
  get length(): number {
    return this.#length
  }

  /** Blocks to be taken if so many tokens are appended. */
  blocksFor(tokens: number): number {
    return Math.max(0, Math.ceil((this.#length + tokens) / this.pool.tokens) - this.#blocks.length)
  }

  /** Tokens that can be appended with so many more blocks. */
  roomIn(blocks: number): number {
    return (this.#blocks.length + blocks) * this.pool.tokens - this.#length
  }

  /** Takes the blocks for so many more tokens. */
  reserve(tokens: number): void {
    for (let blocks = this.blocksFor(tokens); blocks > 0; blocks--) this.#blocks.push(this.pool.take())
  }

  /** Goes on in a block that others have filled with the tokens that come next; only where its own blocks are full. */
  attach(block: number): void {
    this.pool.share(block)
    this.#blocks.push(block)
    this.#published = this.#blocks.length
    this.#length += this.pool.tokens
  }

  /** Appends tokens; gives each sequence rank's share of them. */
  append(ids: readonly number[]): DealtTokens[] {
    const { blockTokens, ranks, tokens } = this.pool
    this.reserve(ids.length)
    const dealt = Array.from({ length: ranks }, (): DealtTokens => ({ ids: [], positions: [], slots: [] }))
    for (const id of ids) {
      const position = this.#length++
      const share = dealt[rankOf(position, ranks)]!
      share.ids.push(id)
      share.positions.push(position)
      share.slots.push(
        this.#blocks[Math.floor(position / tokens)]! * blockTokens + Math.floor((position % tokens) / ranks),
      )
    }
    return dealt
  }

  /** The entries of the workers' block tables that they do not have yet: row, index, block; row, index, block; … */
  announce(): number[] {
    const entries = this.#blocks.slice(this.#announced).flatMap((block, i) => [this.row, this.#announced + i, block])
    this.#announced = this.#blocks.length
    return entries
  }

  /** Has its full blocks be found, by the hashes of those whose tokens are known. */
  publish(hashes: readonly string[]): void {
    const full = Math.min(hashes.length, Math.floor(this.#length / this.pool.tokens))
    for (; this.#published < full; this.#published++) {
      this.pool.publish(this.#blocks[this.#published]!, hashes[this.#published]!)
    }
  }

  /**
   * Forgets the tokens from a position on, whose blocks are used again.
   * @throws Error if the last block that is left is used by others too.
   */
  truncate(length: number): void {
    if (length >= this.#length) return
    if (length % this.pool.tokens !== 0) this.pool.conceal(this.#blocks[Math.floor(length / this.pool.tokens)]!)
    for (const block of this.#blocks.splice(Math.ceil(length / this.pool.tokens))) this.pool.release(block)
    this.#announced = Math.min(this.#announced, this.#blocks.length)
    this.#published = Math.min(this.#published, Math.floor(length / this.pool.tokens))
    this.#length = length
  }

  /** How many of its tokens before `position` a rank caches. */
  cachedBefore(position: number, rank: number): number {
    return countBefore(position, rank, this.pool.ranks)
  }

  /** Gives the blocks back; the last first, which are found the least often. */
  release(): void {
    for (const block of this.#blocks.reverse()) this.pool.release(block)
    this.#blocks.length = 0
    this.#length = this.#announced = this.#published = 0
  }
}
