import type { Trace, Value } from '@troupe/tensor'
import { partition } from '../parallel/plan.js'
import type { LayerContext } from './context.js'
import { ColumnParallelLinear, RowParallelLinear } from './linear.js'

export interface FeedForwardShape {
  hiddenSize: number
  intermediateSize: number
  bias?: boolean
}

/** The gated feed-forward layer: down(silu(gate(x)) · up(x)) (arXiv 2002.05202). */
export class FeedForward {
  readonly #gate: ColumnParallelLinear
  readonly #up: ColumnParallelLinear
  readonly #down: RowParallelLinear

  constructor(context: LayerContext, name: string, { hiddenSize, intermediateSize, bias = false }: FeedForwardShape) {
    const { tensor } = context.groups
    const block = context.weights.blockColumns(`${name}.down_proj.weight`)
    const columnsOf = (rank: number) => partition(intermediateSize, tensor.size, rank, block)
    const columns = columnsOf(tensor.rank)
    const widen = { inputs: hiddenSize, outputs: intermediateSize, bias }
    const narrow = { inputs: intermediateSize, outputs: hiddenSize, bias }
    this.#gate = new ColumnParallelLinear(context, `${name}.gate_proj`, widen, columns)
    this.#up = new ColumnParallelLinear(context, `${name}.up_proj`, widen, columns)
    this.#down = new RowParallelLinear(context, `${name}.down_proj`, narrow, columnsOf)
  }

  forward(trace: Trace, x: Value): Value {
    return this.#down.forward(trace, trace.siluMultiply(this.#gate.forward(trace, x), this.#up.forward(trace, x)))
  }
}
