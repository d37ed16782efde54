import type { LayerContext } from '../layers/context.js'
import type { CausalDecoder } from './causal-decoder.js'
import type { FamilyConfig, ModelConfig } from './config.js'
import type { ConfigFields } from './config-fields.js'
import { Llama } from './llama.js'
import { Mistral } from './mistral.js'
import { Qwen2 } from './qwen2.js'
import { Qwen3 } from './qwen3.js'

/** A model family: a decoder, and how its config.json is read. */
export interface Architecture {
  new (context: LayerContext, config: ModelConfig): CausalDecoder
  /** The values that transformers takes for fields that a config.json of this family leaves out, where families differ. */
  readonly defaults: { keyValueHeads?: number; headSize?: number }
  /** Reads the fields that only some families have. */
  configure(fields: ConfigFields, layers: number): FamilyConfig
}

/** The architectures that can be run, by the name that config.json gives them. SmolLM is a Llama. */
export const architectures: Readonly<Record<string, Architecture>> = {
  LlamaForCausalLM: Llama,
  MistralForCausalLM: Mistral,
  Qwen2ForCausalLM: Qwen2,
  Qwen3ForCausalLM: Qwen3,
}

/** The model that `config` describes, with nothing loaded yet. */
export function makeDecoder(context: LayerContext, config: ModelConfig): CausalDecoder {
  const Model = architectures[config.architecture]
  if (!Model) throw new Error(`no architecture is called ${config.architecture}`)
  return new Model(context, config)
}
