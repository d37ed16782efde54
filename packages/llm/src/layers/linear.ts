import type { Tensor, Trace, Value } from '@troupe/tensor'
import { communicatorOf } from '../parallel/groups.js'
import type { Range } from '../parallel/plan.js'
import type { LayerContext } from './context.js'

/** A linear layer of which each tensor rank computes some output columns: x [n, in] → [n, some of out]. */
export class ColumnParallelLinear {
  readonly #weight: Tensor
  readonly #bias: Tensor | undefined

  /** `rows` are the rows of the weight, which are the outputs, that this rank computes. */
  constructor(
    context: LayerContext,
    name: string,
    shape: { inputs: number; outputs: number; bias: boolean },
    rows: Range,
  ) {
    this.#weight = context.weights.matrix(`${name}.weight`, [shape.outputs, shape.inputs], { rows })
    if (shape.bias) this.#bias = context.weights.vector(`${name}.bias`, shape.outputs, rows)
  }

  forward(trace: Trace, x: Value): Value {
    return trace.linear(x, trace.constant(this.#weight), this.#bias && trace.constant(this.#bias))
  }
}

/** A linear layer of which each tensor rank holds some input columns: x [n, some of in] → [n, out], summed over ranks. */
export class RowParallelLinear {
  readonly #context: LayerContext
  readonly #weight: Tensor
  readonly #bias: Tensor | undefined

  /** `columns` are the columns of the weight, which are the inputs, that this rank has. */
  constructor(
    context: LayerContext,
    name: string,
    shape: { inputs: number; outputs: number; bias: boolean },
    columns: Range,
  ) {
    const { tensor } = context.groups
    this.#context = context
    this.#weight = context.weights.matrix(`${name}.weight`, [shape.outputs, shape.inputs], { columns })
    if (shape.bias && tensor.rank === 0) this.#bias = context.weights.vector(`${name}.bias`, shape.outputs)
  }

  forward(trace: Trace, x: Value): Value {
    const { tensor } = this.#context.groups
    const partial = trace.linear(x, trace.constant(this.#weight), this.#bias && trace.constant(this.#bias))
    return tensor.size > 1 ? trace.allReduce(partial, communicatorOf(tensor)) : partial
  }
}
