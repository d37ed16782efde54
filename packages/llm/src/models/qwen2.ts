import { Attention } from '../layers/attention.js'
import { FeedForward } from '../layers/feed-forward.js'
import { RmsNorm } from '../layers/norm.js'
import { PreNormLayer } from '../layers/pre-norm-layer.js'
import { CausalDecoder } from './causal-decoder.js'
import type { FamilyConfig } from './config.js'
import type { ConfigFields } from './config-fields.js'
import { slidingLayersFrom } from './sliding-layers.js'

/** Qwen2 and 2.5 (arXiv 2407.10671, 2412.15115): Llama with biases on queries, keys and values. */
export class Qwen2 extends CausalDecoder {
  static readonly defaults = { keyValueHeads: 32 }

  static configure(fields: ConfigFields, layers: number): FamilyConfig {
    return slidingLayersFrom(fields, layers)
  }

  layer(index: number) {
    const { context, config } = this
    const { hiddenSize, normEpsilon, slidingLayers } = config
    const name = `model.layers.${index}`
    return new PreNormLayer(
      new RmsNorm(context, `${name}.input_layernorm`, hiddenSize, normEpsilon),
      new Attention(context, `${name}.self_attn`, { ...config, inputBias: true, sliding: slidingLayers[index]! }),
      new RmsNorm(context, `${name}.post_attention_layernorm`, hiddenSize, normEpsilon),
      new FeedForward(context, `${name}.mlp`, config),
    )
  }
}
