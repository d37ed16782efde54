import type { Trace, Value } from '@troupe/tensor'
import { Attention } from '../layers/attention.js'
import type { LayerContext, StepValues } from '../layers/context.js'
import { ColumnParallelLinear, RowParallelLinear } from '../layers/linear.js'
import { RmsNorm } from '../layers/norm.js'
import { VocabParallelEmbedding, VocabParallelHead } from '../layers/vocabulary.js'
import type { ModelConfig } from './config.js'
import type { Decoder, DecoderLayer } from './decoder.js'

/** The feed-forward layer: down(silu(gate(x)) · up(x)) (arXiv 2002.05202). */
class FeedForward {
  readonly #gate: ColumnParallelLinear
  readonly #up: ColumnParallelLinear
  readonly #down: RowParallelLinear

  constructor(context: LayerContext, name: string, config: ModelConfig) {
    const widen = { inputs: config.hiddenSize, outputs: config.intermediateSize, bias: config.feedForwardBias }
    const narrow = { inputs: config.intermediateSize, outputs: config.hiddenSize, bias: config.feedForwardBias }
    this.#gate = new ColumnParallelLinear(context, `${name}.gate_proj`, widen)
    this.#up = new ColumnParallelLinear(context, `${name}.up_proj`, widen)
    this.#down = new RowParallelLinear(context, `${name}.down_proj`, narrow)
  }

  forward(trace: Trace, x: Value): Value {
    return this.#down.forward(trace, trace.siluMultiply(this.#gate.forward(trace, x), this.#up.forward(trace, x)))
  }
}

class LlamaLayer implements DecoderLayer {
  readonly #attentionNorm: RmsNorm
  readonly #attention: Attention
  readonly #feedForwardNorm: RmsNorm
  readonly #feedForward: FeedForward

  constructor(context: LayerContext, name: string, config: ModelConfig) {
    const { hiddenSize, normEpsilon } = config
    this.#attentionNorm = new RmsNorm(context, `${name}.input_layernorm`, hiddenSize, normEpsilon)
    this.#attention = new Attention(context, `${name}.self_attn`, { ...config, bias: config.attentionBias })
    this.#feedForwardNorm = new RmsNorm(context, `${name}.post_attention_layernorm`, hiddenSize, normEpsilon)
    this.#feedForward = new FeedForward(context, `${name}.mlp`, config)
  }

  forward(trace: Trace, x: Value, step: StepValues): Value {
    const attended = trace.add(x, this.#attention.forward(trace, this.#attentionNorm.forward(trace, x), step))
    return trace.add(attended, this.#feedForward.forward(trace, this.#feedForwardNorm.forward(trace, attended)))
  }
}

/** Llama 2 and 3 (arXiv 2307.09288, 2407.21783). */
export class Llama implements Decoder {
  constructor(
    private readonly context: LayerContext,
    private readonly config: ModelConfig,
  ) {}

  embedding() {
    const { vocabularySize, hiddenSize } = this.config
    return new VocabParallelEmbedding(this.context, 'model.embed_tokens', vocabularySize, hiddenSize)
  }

  layer(index: number) {
    return new LlamaLayer(this.context, `model.layers.${index}`, this.config)
  }

  head() {
    const { vocabularySize, hiddenSize, normEpsilon, tiedEmbeddings } = this.config
    const norm = new RmsNorm(this.context, 'model.norm', hiddenSize, normEpsilon)
    const name = tiedEmbeddings ? 'model.embed_tokens' : 'lm_head'
    const head = new VocabParallelHead(this.context, name, vocabularySize, hiddenSize)
    return { forward: (trace: Trace, x: Value) => head.forward(trace, norm.forward(trace, x)) }
  }
}
