import { countBelow, dealTokens } from '../parallel/deal.js'
import type { BlockAllocator } from './cache.js'

/** What one step gives the workers of one sequence rank. */
export interface RankStep {
  /** This rank's tokens: ids, positions in the text, and where in the cache their keys and values go. */
  ids: number[]
  positions: number[]
  slots: number[]
  /** How many of the step's queries each sequence rank gives; queries are listed rank by rank. */
  counts: number[]
  /** For each query, the row of blockTables to look in and the cached tokens [begin, end) that it sees on this rank. */
  sequence: number[]
  begin: number[]
  end: number[]
  /** For each query, the first cached token that it sees in layers that attend over a sliding window. */
  windowBegin: number[]
  blockTables: number[][]
  /** Indices among this rank's tokens whose logits are wanted. */
  outputs: number[]
}

/** One text in the making: which of its tokens each sequence rank caches, and where. */
export class SequenceState {
  /** For each sequence rank the positions of the tokens that it caches, rising. */
  readonly #positions: number[][]
  readonly #blocks: number[][]
  #length = 0

  constructor(
    private readonly allocators: readonly BlockAllocator[],
    private readonly blockTokens: number,
    /** How many tokens, its own included, a query sees where attention slides; all by default. */
    private readonly window = Number.POSITIVE_INFINITY,
  ) {
    this.#positions = allocators.map(() => [])
    this.#blocks = allocators.map(() => [])
  }

  /** Tokens so far. */
  get length(): number {
    return this.#length
  }

  /**
   * Appends tokens and says what each sequence rank has to do for them.
   * @param wanted After which of them logits are wanted.
   */
  append(ids: readonly number[], wanted: 'none' | 'last' | 'all'): RankStep[] {
    const held = this.#positions.map((positions) => positions.length)
    const dealt = dealTokens(ids.length, held)
    const steps = dealt.map((offsets, rank) => this.#store(ids, offsets, rank))
    this.#length += ids.length
    const queries = steps.flatMap((step) => step.positions)
    steps.forEach((step, rank) => {
      const cached = this.#positions[rank]!
      step.counts = dealt.map((offsets) => offsets.length)
      step.sequence = queries.map(() => 0)
      step.begin = queries.map(() => 0)
      step.end = queries.map((position) => countBelow(cached, position + 1))
      step.windowBegin = queries.map((position) => countBelow(cached, position + 1 - this.window))
      step.blockTables = [[...this.#blocks[rank]!]]
      const first = wanted === 'none' ? this.#length : wanted === 'last' ? this.#length - 1 : 0
      step.outputs = step.positions.flatMap((position, index) => (position >= first ? [index] : []))
    })
    return steps
  }

  /** Gives the cache blocks back. */
  release(): void {
    this.#blocks.forEach((blocks, rank) => {
      this.allocators[rank]!.free(blocks)
      blocks.length = 0
    })
  }

  #store(ids: readonly number[], offsets: readonly number[], rank: number): RankStep {
    const cached = this.#positions[rank]!
    const blocks = this.#blocks[rank]!
    const positions = offsets.map((offset) => this.#length + offset)
    const slots = positions.map((position) => {
      const index = cached.push(position) - 1
      if (index % this.blockTokens === 0) blocks.push(this.allocators[rank]!.take())
      return blocks.at(-1)! * this.blockTokens + (index % this.blockTokens)
    })
    const own = offsets.map((offset) => ids[offset]!)
    const views = { counts: [], sequence: [], begin: [], end: [], windowBegin: [], blockTables: [], outputs: [] }
    return { ids: own, positions, slots, ...views }
  }
}
