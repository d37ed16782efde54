import { Attention } from '../layers/attention.js'
import { FeedForward } from '../layers/feed-forward.js'
import { RmsNorm } from '../layers/norm.js'
import { PreNormLayer } from '../layers/pre-norm-layer.js'
import { CausalDecoder } from './causal-decoder.js'
import type { FamilyConfig } from './config.js'
import type { ConfigFields } from './config-fields.js'

/** Mistral (arXiv 2310.06825): Llama without biases, whose every layer attends over a sliding window. */
export class Mistral extends CausalDecoder {
  static readonly defaults = { keyValueHeads: 8 }

  static configure(fields: ConfigFields, layers: number): FamilyConfig {
    const unlimited = fields.has('sliding_window') && fields.get('sliding_window') === undefined
    if (unlimited) return {}
    return { slidingWindow: fields.count('sliding_window', 4096), slidingLayers: Array(layers).fill(true) }
  }

  layer(index: number) {
    const { context, config } = this
    const { hiddenSize, normEpsilon, slidingLayers } = config
    const name = `model.layers.${index}`
    return new PreNormLayer(
      new RmsNorm(context, `${name}.input_layernorm`, hiddenSize, normEpsilon),
      new Attention(context, `${name}.self_attn`, { ...config, sliding: slidingLayers[index]! }),
      new RmsNorm(context, `${name}.post_attention_layernorm`, hiddenSize, normEpsilon),
      new FeedForward(context, `${name}.mlp`, config),
    )
  }
}
