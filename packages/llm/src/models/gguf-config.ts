import { InvalidInputError } from '@troupe/core'
import { dequantize } from '../weights/dequantize.js'
import type { GgufModel } from '../weights/gguf-model.js'
import { readable } from '../weights/weight-file.js'
import type { ModelConfig } from './config.js'
import { ConfigFields, MOST_HEAD_SIZE, MOST_LAYERS } from './config-fields.js'
import { baseFrequencies, linearRotary, type Rotary, yarnFrequencies, yarnScale } from './rotary.js'

/** Names of architectures in llama.cpp and in Hugging Face. Mistral is a `llama` there. */
const ARCHITECTURES: Record<string, string> = {
  llama: 'LlamaForCausalLM',
  mistral: 'MistralForCausalLM',
  qwen2: 'Qwen2ForCausalLM',
  qwen3: 'Qwen3ForCausalLM',
}

/**
 * The hyperparameters in a GGUF file's metadata.
 * @throws InvalidInputError if they are incomplete or ask for something that is not computed here.
 */
export function ggufConfig(gguf: GgufModel): ModelConfig {
  const name = String(gguf.metadata.get('general.architecture') ?? 'unnamed')
  const architecture = Object.hasOwn(ARCHITECTURES, name) ? ARCHITECTURES[name] : undefined
  if (!architecture) {
    const known = Object.keys(ARCHITECTURES).join(', ')
    throw new InvalidInputError(
      `${gguf.path}: the architecture ${readable(name)} is not supported; supported: ${known}`,
    )
  }
  const fields = architectureFields(gguf, name)
  const hiddenSize = fields.count('embedding_length')
  const heads = fields.count('attention.head_count')
  const keyValueHeads = fields.count('attention.head_count_kv', heads)
  if (heads % keyValueHeads !== 0) {
    throw fields.error('attention.head_count_kv', `a divisor of attention.head_count, which is ${heads}`)
  }
  const headSize = fields.count('attention.key_length', hiddenSize / heads, MOST_HEAD_SIZE)
  if (headSize % 2 !== 0) throw fields.error('attention.key_length', 'an even number')
  for (const same of ['attention.value_length', 'rope.dimension_count']) {
    if (fields.count(same, headSize) !== headSize) throw fields.error(same, `the size of a head, which is ${headSize}`)
  }
  if ((fields.get('expert_count') ?? 0) !== 0) throw fields.error('expert_count', '0')
  if ((fields.get('expert_used_count') ?? 0) !== 0) throw fields.error('expert_used_count', '0')
  fields.get('vocab_size') // the embedding says it
  fields.get('pooling_type') // of embeddings

  const layers = fields.count('block_count', undefined, MOST_LAYERS)
  const sliding = fields.get('attention.sliding_window') !== undefined
  if (sliding && architecture !== 'LlamaForCausalLM' && architecture !== 'MistralForCausalLM') {
    throw fields.error('attention.sliding_window', 'left out')
  }
  const bias = gguf.tensors.has('blk.0.attn_q.bias')
  const config: ModelConfig = {
    // Llama's layers are Mistral's where no window is set.
    architecture: sliding ? 'MistralForCausalLM' : architecture,
    hiddenSize,
    intermediateSize: fields.count('feed_forward_length'),
    layers,
    heads,
    keyValueHeads,
    headSize,
    vocabularySize: gguf.tensors.get('token_embd.weight')?.shape[0] ?? fields.count('vocab_size'),
    contextLength: fields.count('context_length'),
    normEpsilon: fields.positive('attention.layer_norm_rms_epsilon'),
    rotary: ggufRotary(gguf, fields, headSize),
    tiedEmbeddings: !gguf.tensors.has('output.weight'),
    attentionBias: bias,
    feedForwardBias: gguf.tensors.has('blk.0.ffn_down.bias'),
    slidingWindow: sliding ? fields.count('attention.sliding_window') : undefined,
    slidingLayers: Array(layers).fill(sliding),
    beginToken: tokenId(gguf, 'bos_token_id'),
    endTokens: ggufEndTokens(gguf),
  }
  fields.refuseUnread()
  return config
}

/** The metadata whose keys start with the architecture's name. */
function architectureFields(gguf: GgufModel, name: string): ConfigFields {
  const own = [...gguf.metadata].filter(([key]) => key.startsWith(`${name}.`))
  const plain = own.map(([key, value]) => [
    key.slice(name.length + 1),
    typeof value === 'bigint' ? Number(value) : value,
  ])
  return new ConfigFields(gguf.path, Object.fromEntries(plain))
}

/** Tokens that end a turn or a text in the vocabularies of published models, by the names that llama.cpp goes by too. */
const END_NAMES = new Set([
  ...[
    '<|eot_id|>',
    '<|eom_id|>',
    '<|end_of_text|>',
    '<|im_end|>',
    '<|endoftext|>',
    '<|end|>',
    '<end_of_turn>',
    '<eos>',
  ],
  ...['<|return|>', '<|call|>', '<|calls|>', '<|flush|>', '<EOT>', '_<EOT>', '[EOT]', '[EOS]', '<end_of_utterance>'],
  ...['<｜end▁of▁sentence｜>'],
])

/** The tokens that the metadata calls an end, and those that are one by their names: many files give the first alone. */
function ggufEndTokens(gguf: GgufModel): number[] {
  const given = ['eos_token_id', 'eot_token_id', 'eom_token_id'].flatMap((key) => tokenId(gguf, key) ?? [])
  const tokens = gguf.metadata.get('tokenizer.ggml.tokens')
  const named = Array.isArray(tokens) ? tokens.flatMap((name, id) => (END_NAMES.has(name as string) ? id : [])) : []
  return [...new Set([...given, ...named])]
}

function tokenId(gguf: GgufModel, key: string): number | undefined {
  const id = gguf.metadata.get(`tokenizer.ggml.${key}`)
  return typeof id === 'number' ? id : undefined
}

/** Rotary settings: a base, a scaling with llama.cpp's names, and factors by which Llama 3's frequencies are divided. */
function ggufRotary(gguf: GgufModel, fields: ConfigFields, headSize: number): Rotary {
  const theta = fields.positive('rope.freq_base', 10_000)
  const type = fields.get('rope.scaling.type') ?? 'none'
  const plain = baseFrequencies(theta, headSize)
  const frequencies = dividedFrequencies(gguf, plain)
  fields.get('rope.scaling.finetuned')
  switch (type) {
    case 'none':
      return { frequencies, scale: 1 }
    case 'linear':
      return linearRotary(frequencies, fields.positive('rope.scaling.factor'))
    case 'yarn': {
      const factor = fields.positive('rope.scaling.factor')
      const yarn = {
        factor,
        trained: fields.positive('rope.scaling.original_context_length', fields.count('context_length')),
        betaFast: fields.positive('rope.scaling.yarn_beta_fast', 32),
        betaSlow: fields.positive('rope.scaling.yarn_beta_slow', 1),
        truncate: true,
      }
      const scale = fields.positive('rope.scaling.attn_factor', 1) * yarnScale(factor, 1)
      return { frequencies: yarnFrequencies(frequencies, theta, yarn), scale }
    }
    default:
      throw fields.error('rope.scaling.type', '"none", "linear" or "yarn"')
  }
}

function dividedFrequencies(gguf: GgufModel, frequencies: Float32Array): Float32Array {
  const stored = gguf.tensors.get('rope_freqs.weight')
  if (!stored) return frequencies
  if (stored.format !== 'F32' || stored.shape.length !== 1 || stored.shape[0] !== frequencies.length) {
    throw gguf.error(`rope_freqs.weight has shape [${stored.shape}] of ${stored.format}`)
  }
  const bytes = new Uint8Array(stored.end - stored.start)
  stored.file.read(bytes, stored.start)
  const factors = dequantize('F32', bytes)
  if (factors.some((factor) => !(Number.isFinite(factor) && factor > 0))) {
    throw gguf.error('rope_freqs.weight has factors that are not above 0')
  }
  return frequencies.map((frequency, i) => frequency / factors[i]!)
}
