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

  /** x [outputs, hidden] → logits [outputs, vocabulary] */
  head(): { forward(trace: Trace, x: Value): Value } {
    const { vocabularySize, hiddenSize, normEpsilon, tiedEmbeddings } = this.config
    const norm = new RmsNorm(this.context, 'model.norm', hiddenSize, normEpsilon)
    const { head } = this.context.weights.vocabularyTensors(tiedEmbeddings)
    const linear = new VocabParallelHead(this.context, head, vocabularySize, hiddenSize)
    return { forward: (trace: Trace, x: Value) => linear.forward(trace, norm.forward(trace, x)) }
  }
}
