import { type Precision, Tensor, type Trace, type Value } from '@troupe/tensor'
import { communicatorOf, type RankGroup } from '../parallel/groups.js'
import { length, partition, type Range } from '../parallel/plan.js'
import type { Weight } from '../weights/weights.js'
import type { LayerContext } from './context.js'

/** A linear layer of which each tensor rank computes some output columns: x [n, in] → [n, some of out]. */
export class ColumnParallelLinear {
  readonly #weight: Weight
  readonly #bias: Tensor | undefined

  /** `rows` are the rows of the weight, which are the outputs, that this rank computes. */
  constructor(
    context: LayerContext,
    name: string,
    shape: { inputs: number; outputs: number; bias: boolean },
    rows: Range,
  ) {
    this.#weight = context.weights.productWeight(`${name}.weight`, [shape.outputs, shape.inputs], { rows })
    if (shape.bias) this.#bias = context.weights.vector(`${name}.bias`, shape.outputs, rows)
  }

  forward(trace: Trace, x: Value): Value {
    return trace.linear(x, trace.constant(this.#weight), this.#bias && trace.constant(this.#bias))
  }
}

/**
 * A linear layer whose input columns are spread over the tensor ranks: x [n, some of in] → [n, out], the same on all ranks.
 *
 * Each rank multiplies its columns, and the ranks sum what they get. Where that would cut blocks of a quantized weight, whose
 * halves cannot be multiplied as the whole is, each rank gathers all of x and computes some of the outputs instead, which the
 * ranks then gather: as many bytes as a sum, and exactly what one rank alone computes.
 */
export class RowParallelLinear {
  readonly #tensor: RankGroup
  readonly #precision: Precision
  readonly #weight: Weight
  readonly #bias: Tensor | undefined
  readonly #gathers: boolean

  /** `columnsOf` gives the columns of the weight, which are the inputs, that a rank has. */
  constructor(
    context: LayerContext,
    name: string,
    private readonly shape: { inputs: number; outputs: number; bias: boolean },
    private readonly columnsOf: (rank: number) => Range,
  ) {
    const { weights, groups } = context
    const { inputs, outputs } = shape
    this.#tensor = groups.tensor
    this.#precision = context.communication
    const { rank, size } = this.#tensor
    const block = weights.blockColumns(`${name}.weight`)
    this.#gathers = Array.from({ length: size }, (_, each) => columnsOf(each)).some(({ start }) => start % block !== 0)
    const rows = partition(outputs, size, rank)
    const slice = this.#gathers ? { rows } : { columns: columnsOf(rank) }
    this.#weight = weights.productWeight(`${name}.weight`, [outputs, inputs], slice)
    if (!shape.bias) return
    if (this.#gathers) this.#bias = weights.vector(`${name}.bias`, outputs, rows)
    else if (rank === 0) this.#bias = weights.vector(`${name}.bias`, outputs)
  }

  forward(trace: Trace, x: Value): Value {
    const { inputs, outputs } = this.shape
    const all = this.#gathers ? gatherColumns(trace, x, inputs, this.#tensor, this.columnsOf) : x
    const own = trace.linear(all, trace.constant(this.#weight), this.#bias && trace.constant(this.#bias))
    if (this.#tensor.size === 1) return own
    if (!this.#gathers) return trace.allReduce(own, communicatorOf(this.#tensor), this.#precision)
    return gatherColumns(trace, own, outputs, this.#tensor, (rank) => partition(outputs, this.#tensor.size, rank))
  }
}

/** [n, some columns] → [n, columns]: the columns of all ranks of a group, of which `columnsOf` gives each one's. */
export function gatherColumns(
  trace: Trace,
  x: Value,
  columns: number,
  group: RankGroup,
  columnsOf: (rank: number) => Range,
): Value {
  const widths = Array.from({ length: group.size }, (_, rank) => length(columnsOf(rank)))
  const counts = trace.constant(Tensor.from('int32', [group.size], widths, { memory: 'private' }))
  return trace.allGatherColumns(x, counts, columns, communicatorOf(group))
}
