import type { Tensor, Trace, Value } from '@troupe/tensor'
import type { LayerContext } from './context.js'

/** Root mean square normalization over each run of `size` columns; every rank computes all of it. */
export class RmsNorm {
  readonly #weight: Tensor

  constructor(
    context: LayerContext,
    name: string,
    size: number,
    private readonly epsilon: number,
  ) {
    this.#weight = context.weights.vector(`${name}.weight`, size)
  }

  forward(trace: Trace, x: Value): Value {
    return trace.rmsNorm(x, trace.constant(this.#weight), this.epsilon)
  }
}
