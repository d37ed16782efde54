import type { BlockPool } from '../engine/cache.js'
import type { ScheduledStep, StepResult } from '../engine/scheduler.js'

/** The token that follows a text, for a model that remembers all of it. */
export function tokenAfter(text: readonly number[], vocabulary: number): number {
  return text.reduce((hash, token) => (Math.imul(hash, 31) + token + 7) >>> 0, 17) % vocabulary
}

/**
 * The workers of a replica as far as a scheduler can see them: the cache of each sequence rank, the block tables, and the token that
 * was last sampled in each row. Throws if what a token attends to is not its own text up to itself.
 */
export class SimulatedWorker {
  readonly #tables = new Map<string, number>()
  readonly #slots: Map<number, { position: number; token: number }>[]
  readonly #latest = new Map<number, number>()
  readonly #sampled: number[][] = []

  constructor(
    private readonly pool: BlockPool,
    private readonly stages: number,
    private readonly vocabulary: number,
  ) {
    this.#slots = Array.from({ length: pool.ranks }, () => new Map())
  }

  run({ step }: ScheduledStep): StepResult {
    this.#takeFeedback(step.feedbackCounts, step.feedbackRows)
    for (let i = 0; i < step.blocks.length; i += 3) {
      this.#tables.set(`${step.blocks[i]}:${step.blocks[i + 1]}`, step.blocks[i + 2]!)
    }
    const tokens = step.ranks.map(({ ids }) => ids.map((id) => (id < 0 ? this.#latest.get(-1 - id)! : id)))
    step.ranks.forEach(({ slots, positions }, rank) => {
      for (const [i, slot] of slots.entries()) {
        this.#slots[rank]!.set(slot, { position: positions[i]!, token: tokens[rank]![i]! })
      }
    })
    const found: number[] = []
    const finalHidden: Float32Array[] = []
    let query = 0
    step.ranks.forEach(({ ids, positions, outputs, finalHidden: wanted }, rank) => {
      ids.forEach((_, i) => {
        const text = this.#seen(step, query++)
        if (text.at(-1) !== tokens[rank]![i] || text.length !== positions[i]! + 1) throw new Error('not its own text')
        if (outputs.includes(i)) found.push(tokenAfter(text, this.vocabulary))
        if (wanted.includes(i)) finalHidden.push(Float32Array.of(tokenAfter(text, this.vocabulary)))
      })
    })
    if (this.stages > 1) {
      if (found.length > 0) this.#sampled.push(found)
    } else {
      for (const [i, token] of found.entries()) this.#latest.set(step.outputRows[i]!, token)
    }
    const isDrawn = (index: number) => step.outputRows[index]! >= 0
    return {
      finalHidden,
      tokens: found.map((token, index) => (isDrawn(index) ? token : -1)),
      ...(step.targets ? { scores: found.map((token, index) => (isDrawn(index) ? 0 : token)) } : {}),
    }
  }

  #takeFeedback(counts: readonly number[], rows: readonly number[]): void {
    let next = 0
    for (const count of counts) {
      const tokens = this.#sampled.shift()
      if (tokens?.length !== count) throw new Error('not the tokens of the step that is waited for')
      for (const token of tokens) this.#latest.set(rows[next++]!, token)
    }
  }

  /** The tokens that a query attends to, in the order of their positions. */
  #seen({ ranks, sequence }: ScheduledStep['step'], query: number): number[] {
    const { blockTokens } = this.pool
    const seen = ranks.flatMap(({ begin, end }, rank) =>
      Array.from({ length: end[query]! - begin[query]! }, (_, i) => {
        const token = begin[query]! + i
        const block = this.#tables.get(`${sequence[query]}:${Math.floor(token / blockTokens)}`)!
        return this.#slots[rank]!.get(block * blockTokens + (token % blockTokens))!
      }),
    )
    seen.sort((a, b) => a.position - b.position)
    if (seen.some(({ position }, index) => position !== index)) throw new Error('not each of its tokens once')
    return seen.map(({ token }) => token)
  }
}
