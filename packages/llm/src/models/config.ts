import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { InvalidInputError } from '@troupe/core'
import { isGguf } from '../weights/checkpoint.js'
import { GgufModel } from '../weights/gguf-model.js'
import { readJson } from '../weights/json.js'
import { ConfigFields, MOST_HEAD_SIZE, MOST_LAYERS } from './config-fields.js'
import { architectures } from './decoder.js'
import { ggufConfig } from './gguf-config.js'
import { type Rotary, rotaryFrom } from './rotary.js'

/** The hyperparameters of a decoder. */
export interface ModelConfig {
  /** The architecture, as Hugging Face calls it. */
  architecture: string
  hiddenSize: number
  intermediateSize: number
  layers: number
  heads: number
  keyValueHeads: number
  headSize: number
  vocabularySize: number
  /** The most tokens that prompt and answer may have together. */
  contextLength: number
  normEpsilon: number
  rotary: Rotary
  tiedEmbeddings: boolean
  /** Whether all four projections of attention have biases, and those of the feed-forward layers. */
  attentionBias: boolean
  feedForwardBias: boolean
  /** How many tokens, itself included, a token sees in the layers that attend over a window; undefined without such. */
  slidingWindow: number | undefined
  /** [layers] Whether a layer attends over a window. */
  slidingLayers: boolean[]
  /** The token that starts a text, and those that end one. */
  beginToken: number | undefined
  endTokens: number[]
}

/** The fields of a family's config.json beyond the fields that all families have. */
export type FamilyConfig = Partial<
  Pick<ModelConfig, 'attentionBias' | 'feedForwardBias' | 'slidingWindow' | 'slidingLayers'>
>

/**
 * The hyperparameters of a model: from config.json of a Hugging Face directory, or from a GGUF file's metadata.
 * @throws InvalidInputError if they are missing, incomplete, or ask for something that is not computed here.
 */
export function readConfig(model: string): ModelConfig {
  if (!isGguf(model)) return directoryConfig(model)
  const gguf = new GgufModel(model)
  try {
    return ggufConfig(gguf)
  } finally {
    gguf.close()
  }
}

function directoryConfig(directory: string): ModelConfig {
  const path = configPath(directory)
  const fields = new ConfigFields(path, readJson(path))
  const architecture = architectureOf(fields)
  const family = architectures[architecture]!
  const activation = fields.get('hidden_act') ?? 'silu'
  if (activation !== 'silu') throw fields.error('hidden_act', '"silu"')
  if (fields.get('quantization_config')) {
    throw new InvalidInputError(`${path}: quantization_config is set; weights must be F32, F16 or BF16`)
  }
  const hiddenSize = fields.count('hidden_size')
  const heads = fields.count('num_attention_heads')
  const keyValueHeads = fields.count('num_key_value_heads', family.defaults.keyValueHeads ?? heads)
  if (heads % keyValueHeads !== 0) {
    throw fields.error('num_key_value_heads', `a divisor of num_attention_heads, which is ${heads}`)
  }
  const headSize = fields.count('head_dim', family.defaults.headSize ?? hiddenSize / heads, MOST_HEAD_SIZE)
  if (headSize % 2 !== 0) throw fields.error('head_dim', 'an even number')
  const layers = fields.count('num_hidden_layers', undefined, MOST_LAYERS)
  const contextLength = fields.count('max_position_embeddings', 2048)
  const config: ModelConfig = {
    architecture,
    hiddenSize,
    intermediateSize: fields.count('intermediate_size'),
    layers,
    heads,
    keyValueHeads,
    headSize,
    vocabularySize: fields.count('vocab_size'),
    contextLength,
    normEpsilon: fields.positive('rms_norm_eps', 1e-6),
    rotary: rotaryFrom(fields, headSize, contextLength),
    tiedEmbeddings: fields.flag('tie_word_embeddings', false),
    attentionBias: false,
    feedForwardBias: false,
    slidingWindow: undefined,
    slidingLayers: Array(layers).fill(false),
    beginToken: fields.tokens('bos_token_id')[0],
    endTokens: endTokensOf(directory, fields),
    ...family.configure(fields, layers),
  }
  fields.refuseUnread()
  return config
}

/**
 * The tokens that end a text: all that the model's files name, since a chat model's turn often ends with another token than its
 * training texts.
 */
function endTokensOf(directory: string, config: ConfigFields): number[] {
  const fieldsOf = (name: string) => {
    const path = join(directory, name)
    return new ConfigFields(path, existsSync(path) ? readJson(path) : {})
  }
  const generation = fieldsOf('generation_config.json').tokens('eos_token_id')
  return [...new Set([...config.tokens('eos_token_id'), ...generation, ...namedEnd(fieldsOf('tokenizer_config.json'))])]
}

/** The end token that tokenizer_config.json gives as text, if its list of added tokens has it. */
function namedEnd(tokenizer: ConfigFields): number[] {
  const end = tokenizer.get('eos_token')
  const name = typeof end === 'object' ? (end as { content?: unknown }).content : end
  if (typeof name !== 'string') return []
  const added = Object.entries(
    (tokenizer.get('added_tokens_decoder') ?? {}) as Record<string, { content?: unknown } | null>,
  )
  return added.flatMap(([id, token]) => (token?.content === name && /^\d+$/.test(id) ? Number(id) : []))
}

function architectureOf(fields: ConfigFields): string {
  const names = fields.get('architectures')
  const name = Array.isArray(names) ? String(names[0]) : undefined
  if (name !== undefined && Object.hasOwn(architectures, name)) return name
  throw new InvalidInputError(
    `${fields.path}: the architecture ${name ?? 'is not named'}${name ? ' is not supported' : ''}; supported: ${Object.keys(architectures).join(', ')}`,
  )
}

function configPath(directory: string): string {
  if (!existsSync(directory)) {
    throw new InvalidInputError(`no model at ${directory}; expected a Hugging Face model directory or a GGUF file`)
  }
  const path = join(directory, 'config.json')
  if (!existsSync(path)) {
    throw new InvalidInputError(`${directory} has no config.json; expected a Hugging Face model directory`)
  }
  return path
}
