import type { Trace, Value } from '@troupe/tensor'
import { communicatorOf, type RankGroup } from '../parallel/groups.js'
import { partition, type Range } from '../parallel/plan.js'
import type { Weight } from '../weights/weights.js'
import type { LayerContext } from './context.js'
import { gatherColumns } from './linear.js'

function shareOf(group: RankGroup, size: number): Range {
  return partition(size, group.size, group.rank)
}

/** Token embeddings of which each tensor rank holds some of the vocabulary: ids [n] → [n, hidden]. */
export class VocabParallelEmbedding {
  readonly #tensor: RankGroup
  readonly #table: Weight
  readonly #start: number

  constructor(context: LayerContext, name: string, vocabularySize: number, hiddenSize: number) {
    this.#tensor = context.groups.tensor
    const rows = shareOf(this.#tensor, vocabularySize)
    this.#table = context.weights.table(name, [vocabularySize, hiddenSize], { rows })
    this.#start = rows.start
  }

  forward(trace: Trace, ids: Value): Value {
    const own = trace.embedding(ids, trace.constant(this.#table), this.#start)
    return this.#tensor.size > 1 ? trace.allReduce(own, communicatorOf(this.#tensor)) : own
  }
}

/** The output layer of which each tensor rank computes some of the vocabulary: x [n, hidden] → logits [n, vocabulary]. */
export class VocabParallelHead {
  readonly #tensor: RankGroup
  readonly #weight: Weight

  constructor(
    context: LayerContext,
    name: string,
    private readonly vocabularySize: number,
    hiddenSize: number,
  ) {
    this.#tensor = context.groups.tensor
    const rows = shareOf(this.#tensor, vocabularySize)
    this.#weight = context.weights.productWeight(name, [vocabularySize, hiddenSize], { rows })
  }

  forward(trace: Trace, x: Value): Value {
    const own = trace.linear(x, trace.constant(this.#weight))
    const { size } = this.#tensor
    if (size === 1) return own
    return gatherColumns(trace, own, this.vocabularySize, this.#tensor, (rank) =>
      partition(this.vocabularySize, size, rank),
    )
  }
}
