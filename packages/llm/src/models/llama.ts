import { Attention } from '../layers/attention.js'
import { FeedForward } from '../layers/feed-forward.js'
import { RmsNorm } from '../layers/norm.js'
import { PreNormLayer } from '../layers/pre-norm-layer.js'
import { CausalDecoder } from './causal-decoder.js'
import type { FamilyConfig } from './config.js'
import type { ConfigFields } from './config-fields.js'

/** Llama 2 and 3 (arXiv 2307.09288, 2407.21783): grouped-query attention, gated feed-forward layers. */
export class Llama extends CausalDecoder {
  static readonly defaults = {}

  static configure(fields: ConfigFields): FamilyConfig {
    return {
      attentionBias: fields.flag('attention_bias', false),
      feedForwardBias: fields.flag('mlp_bias', false),
    }
  }

  layer(index: number) {
    const { context, config } = this
    const { hiddenSize, normEpsilon, attentionBias, feedForwardBias } = config
    const name = `model.layers.${index}`
    return new PreNormLayer(
      new RmsNorm(context, `${name}.input_layernorm`, hiddenSize, normEpsilon),
      new Attention(context, `${name}.self_attn`, { ...config, inputBias: attentionBias, outputBias: attentionBias }),
      new RmsNorm(context, `${name}.post_attention_layernorm`, hiddenSize, normEpsilon),
      new FeedForward(context, `${name}.mlp`, { ...config, bias: feedForwardBias }),
    )
  }
}
