import { Attention } from '../layers/attention.js'
import { FeedForward } from '../layers/feed-forward.js'
import { RmsNorm } from '../layers/norm.js'
import { PreNormLayer } from '../layers/pre-norm-layer.js'
import { CausalDecoder } from './causal-decoder.js'
import type { FamilyConfig } from './config.js'
import type { ConfigFields } from './config-fields.js'
import { slidingLayersFrom } from './sliding-layers.js'

/** Qwen3 (arXiv 2505.09388): Llama whose queries and keys are normalized head by head before they are rotated. */
export class Qwen3 extends CausalDecoder {
  static readonly defaults = { keyValueHeads: 32, headSize: 128 }

  static configure(fields: ConfigFields, layers: number): FamilyConfig {
    return { attentionBias: fields.flag('attention_bias', false), ...slidingLayersFrom(fields, layers) }
  }

  layer(index: number) {
    const { context, config } = this
    const { hiddenSize, normEpsilon, attentionBias, slidingLayers } = config
    const name = `model.layers.${index}`
    return new PreNormLayer(
      new RmsNorm(context, `${name}.input_layernorm`, hiddenSize, normEpsilon),
      new Attention(context, `${name}.self_attn`, {
        ...config,
        inputBias: attentionBias,
        outputBias: attentionBias,
        headNormEpsilon: normEpsilon,
        sliding: slidingLayers[index]!,
      }),
      new RmsNorm(context, `${name}.post_attention_layernorm`, hiddenSize, normEpsilon),
      new FeedForward(context, `${name}.mlp`, config),
    )
  }
}
