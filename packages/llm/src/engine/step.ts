import { type StepSampling, stepSampling } from './sampler.js'
import type { CachedSequence } from './sequence.js'

/** The part of a step for the workers of one sequence rank. Queries are the tokens of all ranks, listed rank by rank. */
export interface RankStep {
  /** This rank's tokens: ids, positions in the text, and where in the cache their keys and values go. An id of -1 - row is
   * the token that was last sampled for the sequence of that row. */
  ids: number[]
  positions: number[]
  slots: number[]
  /** For each query, the cached tokens [begin, end) that it sees on this rank; layers that attend over a window begin later. */
  begin: number[]
  end: number[]
  windowBegin: number[]
  /** Indices among this rank's tokens whose logits are wanted. */
  outputs: number[]
  /** Indices among this rank's tokens whose hidden states behind the last norm are wanted. */
  finalHidden: number[]
}

/** One step of all workers of a replica. Outputs are those of all ranks, listed rank by rank. */
export interface Step extends StepSampling {
  ranks: RankStep[]
  /** The new entries of the block tables, which are the same on all ranks: row, index, block; row, index, block; … */
  blocks: number[]
  /** For each query, the row of the block tables to look in. */
  sequence: number[]
  /** How many of the queries, and of the outputs, each rank gives. */
  counts: number[]
  outputCounts: number[]
  /** The messages with sampled tokens that the first stage takes in before it begins, by their lengths, and the rows that
   * the tokens belong to. */
  feedbackCounts: number[]
  feedbackRows: number[]
  /** Texts whose tokens are counted from now on, as penalties say; their prompts, and what was generated. */
  counted?: CountedText[]
  /** Outputs whose logits are wanted. */
  logits?: number[]
  /** For each output, the token that follows, whose probability is wanted. */
  targets?: number[]
}

/** A text whose tokens are counted in a row. */
export interface CountedText {
  row: number
  prompt: readonly number[]
  generated: readonly number[]
}

/** Some of a segment's tokens; a number says from which position in the text on. */
export type Selection = 'none' | 'last' | 'all' | number

/** Some tokens of a sequence, to be computed in a step. */
export interface Segment {
  cached: CachedSequence
  ids: readonly number[]
  /** After which of them logits are wanted. */
  outputs: Selection
  /** Of which of them the hidden states behind the last norm are wanted; of none by default. */
  finalHidden?: Selection
}

/** A token of which a step gives something out: of which segment, and at which position in its text. */
export interface StepOutput {
  segment: number
  position: number
}

/** The parts of a step that follow from its segments, whose tokens are appended to their sequences. */
export type Layout = Pick<Step, 'ranks' | 'blocks' | 'sequence' | 'counts' | 'outputCounts'>

/**
 * Lays out the tokens of several sequences in one step.
 * @param window How many tokens, its own included, a query sees where attention slides.
 * @returns the layout; the outputs, and the tokens whose final hidden states are wanted, in their order in the step
 */
export function layOut(
  segments: readonly Segment[],
  window = Number.POSITIVE_INFINITY,
): { layout: Layout; outputs: StepOutput[]; finalHidden: StepOutput[] } {
  const dealt = segments.map(({ cached, ids }) => cached.append(ids))
  const ranks = dealt[0]!.map((_, rank) => rankStep(segments, dealt, rank, window))
  const selected = (of: (segment: Segment) => Selection | undefined) =>
    dealt[0]!.flatMap((_, rank) =>
      segments.flatMap((segment, index) =>
        dealt[index]![rank]!.positions.filter((position) => isSelected(of(segment), segment, position)).map(
          (position) => ({ segment: index, position }),
        ),
      ),
    )
  const layout = {
    ranks,
    blocks: segments.flatMap(({ cached }) => cached.announce()),
    sequence: dealt[0]!.flatMap((_, rank) =>
      segments.flatMap(({ cached }, index) => dealt[index]![rank]!.ids.map(() => cached.row)),
    ),
    counts: ranks.map(({ ids }) => ids.length),
    outputCounts: ranks.map((step) => step.outputs.length),
  }
  return {
    layout,
    outputs: selected(({ outputs }) => outputs),
    finalHidden: selected((segment) => segment.finalHidden),
  }
}

/** A step that takes the likeliest token after each of its outputs, for callers that make steps by themselves. */
export function greedyStep(segments: readonly Segment[], window?: number): Step {
  const { layout, outputs } = layOut(segments, window)
  return {
    ...layout,
    ...stepSampling(
      outputs.map(({ segment }) => ({
        sampling: { temperature: 0, topK: 0, topP: 1 },
        random: 0,
        row: segments[segment]!.cached.row,
        biases: [],
        mask: undefined,
        logProbs: undefined,
      })),
    ),
    feedbackCounts: [],
    feedbackRows: [],
  }
}

type Dealt = ReturnType<CachedSequence['append']>

function rankStep(segments: readonly Segment[], dealt: readonly Dealt[], rank: number, window: number): RankStep {
  const own = dealt.map((shares) => shares[rank]!)
  const positions = own.flatMap((share) => share.positions)
  const begin: number[] = []
  const end: number[] = []
  const windowBegin: number[] = []
  for (const querying of dealt[0]!.keys()) {
    for (const [index, { cached }] of segments.entries()) {
      for (const position of dealt[index]![querying]!.positions) {
        begin.push(0)
        end.push(cached.cachedBefore(position + 1, rank))
        windowBegin.push(window < position + 1 ? cached.cachedBefore(position + 1 - window, rank) : 0)
      }
    }
  }
  const selected = (of: (segment: Segment) => Selection | undefined) => {
    let token = 0
    return own.flatMap((share, index) =>
      share.positions.flatMap((position) => {
        const at = token++
        return isSelected(of(segments[index]!), segments[index]!, position) ? [at] : []
      }),
    )
  }
  return {
    ids: own.flatMap(({ ids }) => ids),
    positions,
    slots: own.flatMap(({ slots }) => slots),
    begin,
    end,
    windowBegin,
    outputs: selected(({ outputs }) => outputs),
    finalHidden: selected(({ finalHidden }) => finalHidden),
  }
}

function isSelected(selection: Selection | undefined, { cached }: Segment, position: number): boolean {
  if (typeof selection === 'number') return position >= selection
  return selection === 'all' || (selection === 'last' && position === cached.length - 1)
}
