import type { Trace, Value } from '@troupe/tensor'
import type { Attention } from './attention.js'
import type { StepValues } from './context.js'
import type { FeedForward } from './feed-forward.js'
import type { RmsNorm } from './norm.js'

/** Pre-norm residual layer: h = x + attention(norm(x)), then h + feedForward(norm(h)) (arXiv 2002.04745). */
export class PreNormLayer {
  constructor(
    private readonly attentionNorm: RmsNorm,
    private readonly attention: Attention,
    private readonly feedForwardNorm: RmsNorm,
    private readonly feedForward: FeedForward,
  ) {}

  forward(trace: Trace, x: Value, step: StepValues): Value {
    const attended = trace.add(x, this.attention.forward(trace, this.attentionNorm.forward(trace, x), step))
    return trace.add(attended, this.feedForward.forward(trace, this.feedForwardNorm.forward(trace, attended)))
  }
}
