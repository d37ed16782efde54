import { InvalidInputError } from '@troupe/core'
import { configPath, readJson } from '../weights/checkpoint.js'
import { architectures } from './decoder.js'
import { type Rotary, rotaryFrom } from './rotary.js'

/** The hyperparameters of a decoder, under the names that Hugging Face's config.json gives them. */
export interface ModelConfig {
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
  attentionBias: boolean
  feedForwardBias: boolean
  /** The token that starts a text, and those that end one. */
  beginToken: number | undefined
  endTokens: number[]
}

/** Typed access to config.json whose errors name the file and the field. */
export class ConfigFields {
  constructor(
    readonly path: string,
    private readonly fields: Record<string, unknown>,
  ) {}

  get(name: string): unknown {
    return this.fields[name] ?? undefined
  }

  /** @throws InvalidInputError unless the field is a whole number of at least 1. */
  count(name: string, otherwise?: number): number {
    const value = this.get(name) ?? otherwise
    if (Number.isSafeInteger(value) && (value as number) >= 1) return value as number
    throw this.error(name, 'a whole number of at least 1')
  }

  /** @throws InvalidInputError unless the field is a number above 0. */
  positive(name: string, otherwise?: number): number {
    const value = this.get(name) ?? otherwise
    if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value
    throw this.error(name, 'a number above 0')
  }

  flag(name: string, otherwise: boolean): boolean {
    const value = this.get(name) ?? otherwise
    if (typeof value === 'boolean') return value
    throw this.error(name, 'true or false')
  }

  error(name: string, expected: string): InvalidInputError {
    return new InvalidInputError(`${this.path}: ${name} must be ${expected}; found ${JSON.stringify(this.get(name))}`)
  }
}

/**
 * Reads a model directory's config.json.
 * @throws InvalidInputError if it is missing, incomplete, or asks for something that is not computed here.
 */
export function readConfig(directory: string): ModelConfig {
  const path = configPath(directory)
  const fields = new ConfigFields(path, readJson(path))
  const architecture = architectureOf(fields)
  const activation = fields.get('hidden_act') ?? 'silu'
  if (activation !== 'silu') throw fields.error('hidden_act', '"silu"')
  if (fields.get('quantization_config')) {
    throw new InvalidInputError(`${path}: quantization_config is set; weights must be F32, F16 or BF16`)
  }
  const hiddenSize = fields.count('hidden_size')
  const heads = fields.count('num_attention_heads')
  const keyValueHeads = fields.count('num_key_value_heads', heads)
  if (heads % keyValueHeads !== 0) {
    throw fields.error('num_key_value_heads', `a divisor of num_attention_heads, which is ${heads}`)
  }
  const headSize = fields.count('head_dim', hiddenSize / heads)
  if (headSize % 2 !== 0) throw fields.error('head_dim', 'an even number')
  return {
    architecture,
    hiddenSize,
    intermediateSize: fields.count('intermediate_size'),
    layers: fields.count('num_hidden_layers'),
    heads,
    keyValueHeads,
    headSize,
    vocabularySize: fields.count('vocab_size'),
    contextLength: fields.count('max_position_embeddings', 2048),
    normEpsilon: fields.positive('rms_norm_eps', 1e-6),
    rotary: rotaryFrom(fields, headSize),
    tiedEmbeddings: fields.flag('tie_word_embeddings', false),
    attentionBias: fields.flag('attention_bias', false),
    feedForwardBias: fields.flag('mlp_bias', false),
    beginToken: fields.get('bos_token_id') as number | undefined,
    endTokens: [fields.get('eos_token_id') ?? []].flat() as number[],
  }
}

function architectureOf(fields: ConfigFields): string {
  const names = fields.get('architectures')
  const name = Array.isArray(names) ? String(names[0]) : undefined
  if (name !== undefined && architectures.includes(name)) return name
  throw new InvalidInputError(
    `${fields.path}: the architecture ${name ?? 'is not named'}${name ? ' is not supported' : ''}; supported: ${architectures.join(', ')}`,
  )
}
