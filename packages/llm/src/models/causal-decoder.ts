import type { Trace, Value } from '@troupe/tensor'
import type { LayerContext, StepValues } from '../layers/context.js'
import { RmsNorm } from '../layers/norm.js'
import { VocabParallelEmbedding, VocabParallelHead } from '../layers/vocabulary.js'
import type { ModelConfig } from './config.js'

/** One layer of a decoder: x [tokens, hidden] → [tokens, hidden]. */
export interface DecoderLayer {
  forward(trace: Trace, x: Value, step: StepValues): Value
}

/**
 * A decoder's parts, each loading its weights when it is made, so that a pipeline stage makes only its own. Families
 * differ in their layers.
 */
export abstract class CausalDecoder {
  constructor(
    protected readonly context: LayerContext,
    protected readonly config: ModelConfig,
  ) {}

  abstract layer(index: number): DecoderLayer

  /** ids [tokens] → [tokens, hidden] */
  embedding(): { forward(trace: Trace, ids: Value): Value } {
    const { vocabularySize, hiddenSize, tiedEmbeddings } = this.config
    const { embedding } = this.context.weights.vocabularyTensors(tiedEmbeddings)
    return new VocabParallelEmbedding(this.context, embedding, vocabularySize, hiddenSize)
  }

  /** The norm behind the last layer: x [n, hidden] → final hidden states [n, hidden] */
  norm(): { forward(trace: Trace, x: Value): Value } {
    return new RmsNorm(this.context, 'model.norm', this.config.hiddenSize, this.config.normEpsilon)
  }

  /** final hidden states [outputs, hidden] → logits [outputs, vocabulary] */
  head(): { forward(trace: Trace, x: Value): Value } {
    const { vocabularySize, hiddenSize, tiedEmbeddings } = this.config
    const { head } = this.context.weights.vocabularyTensors(tiedEmbeddings)
    return new VocabParallelHead(this.context, head, vocabularySize, hiddenSize)
  }
}
