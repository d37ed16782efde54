import type { Trace, Value } from '@troupe/tensor'
import type { LayerContext, StepValues } from '../layers/context.js'
import type { ModelConfig } from './config.js'
import { Llama } from './llama.js'

/** One layer of a decoder: x [tokens, hidden] → [tokens, hidden]. */
export interface DecoderLayer {
  forward(trace: Trace, x: Value, step: StepValues): Value
}

/** A decoder's parts, each loading its weights when it is made, so that a pipeline stage makes only its own. */
export interface Decoder {
  /** ids [tokens] → [tokens, hidden] */
  embedding(): { forward(trace: Trace, ids: Value): Value }
  layer(index: number): DecoderLayer
  /** x [outputs, hidden] → logits [outputs, vocabulary] */
  head(): { forward(trace: Trace, x: Value): Value }
}

const DECODERS: Record<string, new (context: LayerContext, config: ModelConfig) => Decoder> = {
  LlamaForCausalLM: Llama,
}

/** The architectures that can be run, by the name that config.json gives them. */
export const architectures: readonly string[] = Object.keys(DECODERS)

/** The model that `config` describes, with nothing loaded yet. */
export function makeDecoder(context: LayerContext, config: ModelConfig): Decoder {
  const Model = DECODERS[config.architecture]
  if (!Model) throw new Error(`no architecture is called ${config.architecture}`)
  return new Model(context, config)
}
