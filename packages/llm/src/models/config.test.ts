import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { InvalidInputError } from '@troupe/core'
import test, { type ExecutionContext } from 'ava'
import { temporaryFolder } from '../testing/files.js'
import { readConfig } from './config.js'

const llama = {
  architectures: ['LlamaForCausalLM'],
  hidden_size: 64,
  intermediate_size: 172,
  num_hidden_layers: 5,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  vocab_size: 512,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
}

function read(t: ExecutionContext, changes: object) {
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...llama, ...changes }))
  return readConfig(folder)
}

test('fields that are left out have the values that the format gives them', (t) => {
  const config = read(t, { num_key_value_heads: undefined })
  t.like(config, { headSize: 8, keyValueHeads: 8, tiedEmbeddings: false, attentionBias: false, endTokens: [] })
  t.deepEqual(read(t, { eos_token_id: 2 }).endTokens, [2])
  t.deepEqual(read(t, { eos_token_id: [2, 5] }).endTokens, [2, 5])
})

test('a text ends at all tokens that the files call an end, and what is no token id is refused', (t) => {
  const folder = temporaryFolder(t)
  const write = (config: object, generation: object) => {
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...llama, ...config }))
    writeFileSync(join(folder, 'generation_config.json'), JSON.stringify(generation))
  }
  write({ eos_token_id: 4 }, { eos_token_id: [4, 3], do_sample: true, temperature: 0.6 })
  t.deepEqual(readConfig(folder).endTokens, [4, 3])
  write({}, { eos_token_id: 7 })
  t.deepEqual(readConfig(folder).endTokens, [7])
  const added_tokens_decoder = { 8: { content: '<|im_end|>' }, 9: { content: '<|other|>' } }
  for (const eos_token of ['<|im_end|>', { content: '<|im_end|>' }]) {
    writeFileSync(join(folder, 'tokenizer_config.json'), JSON.stringify({ eos_token, added_tokens_decoder }))
    t.deepEqual(readConfig(folder).endTokens, [7, 8])
  }
  writeFileSync(join(folder, 'tokenizer_config.json'), '{}')
  for (const wrong of ['2', -1, 1.5, [2, '3'], { id: 2 }]) {
    write({}, { eos_token_id: wrong })
    t.throws(() => readConfig(folder), {
      instanceOf: InvalidInputError,
      message: /generation_config\.json: eos_token_id must be a token id or a list of them; found /,
    })
    t.throws(() => read(t, { eos_token_id: wrong }), { message: /config\.json: eos_token_id must be a token id/ })
  }
})

test('a field that is needed and left out is said to be missing', (t) => {
  t.throws(() => read(t, { vocab_size: undefined }), { message: /vocab_size must be .*; it is missing/ })
  t.throws(() => read(t, { hidden_size: 65 }), { message: /head_dim must be .*; it is missing/ })
  t.notThrows(() => read(t, { max_sequence_length: 4096, model_max_length: 4096 }))
})

test('both spellings of the rotary settings give the same frequencies', (t) => {
  const settings = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 64 }
  const newer = read(t, { rope_parameters: { rope_type: 'llama3', rope_theta: 500_000, ...settings } })
  const older = read(t, { rope_theta: 500_000, rope_scaling: { rope_type: 'llama3', ...settings } })
  const oldest = read(t, { rope_theta: 500_000, rope_scaling: { type: 'llama3', ...settings } })
  t.deepEqual(newer.rotary, older.rotary)
  t.deepEqual(newer.rotary, oldest.rotary)
  t.notDeepEqual(newer.rotary, read(t, { rope_theta: 500_000 }).rotary)
  t.deepEqual(read(t, { rope_theta: 10_000, rope_scaling: null }).rotary, read(t, {}).rotary)
})

test('linear scaling divides every frequency by its factor', (t) => {
  const plain = read(t, {}).rotary.frequencies
  const scaled = read(t, { rope_scaling: { type: 'linear', factor: 4 } }).rotary.frequencies
  t.deepEqual(
    scaled,
    plain.map((frequency) => frequency / 4),
  )
})

test('YaRN keeps fast dimensions, stretches slow ones by its factor, and scales cosines and sines', (t) => {
  const scaling = { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 256, beta_fast: 16, beta_slow: 2 }
  const plain = read(t, { head_dim: 32 }).rotary.frequencies
  const { frequencies, scale } = read(t, { head_dim: 32, rope_scaling: scaling }).rotary
  t.is(frequencies[0], plain[0])
  t.is(frequencies.at(-1), plain.at(-1)! / 4)
  t.true(frequencies.every((frequency, i) => frequency <= plain[i]! && frequency >= plain[i]! / 4))
  t.is(scale, 0.1 * Math.log(4) + 1)
  t.is(read(t, { rope_scaling: { ...scaling, attention_factor: 0.5 } }).rotary.scale, 0.5)
})

test('which layers slide is read as each family writes it', (t) => {
  const qwen = { architectures: ['Qwen2ForCausalLM'], sliding_window: 7 }
  const kinds = ['full_attention', 'sliding_attention', 'full_attention', 'sliding_attention', 'full_attention']
  t.like(read(t, qwen), { slidingWindow: undefined, slidingLayers: Array(5).fill(false) })
  t.like(read(t, { ...qwen, use_sliding_window: true, max_window_layers: 3 }), {
    slidingWindow: 7,
    slidingLayers: [false, false, false, true, true],
  })
  t.like(read(t, { ...qwen, use_sliding_window: true, layer_types: kinds }), {
    slidingLayers: [false, true, false, true, false],
  })
  const mistral = { architectures: ['MistralForCausalLM'] }
  t.like(read(t, mistral), { slidingWindow: 4096, slidingLayers: Array(5).fill(true) })
  t.like(read(t, { ...mistral, sliding_window: null }), {
    slidingWindow: undefined,
    slidingLayers: Array(5).fill(false),
  })
})

test('fields that change nothing that is computed are let through', (t) => {
  const written = {
    torch_dtype: 'bfloat16',
    use_cache: true,
    initializer_range: 0.02,
    pretraining_tp: 1,
    temperature: 1,
  }
  const unset = { pruned_heads: {}, is_decoder: false, sliding_window: null, forced_eos_token_id: null }
  t.notThrows(() => read(t, { ...written, ...unset }))
})

/** What some published models write besides sizes. */
const published: Record<string, object> = {
  'Llama 3.2': {
    attention_bias: false,
    attention_dropout: 0,
    head_dim: 64,
    mlp_bias: false,
    pretraining_tp: 1,
    rope_scaling: {
      factor: 32,
      high_freq_factor: 4,
      low_freq_factor: 1,
      original_max_position_embeddings: 8192,
      rope_type: 'llama3',
    },
    rope_theta: 500_000,
    tie_word_embeddings: true,
  },
  'Mistral 0.1': { architectures: ['MistralForCausalLM'], model_type: 'mistral', sliding_window: 4096 },
  'Qwen 2.5': {
    architectures: ['Qwen2ForCausalLM'],
    max_window_layers: 21,
    sliding_window: 32_768,
    use_mrope: false,
    use_sliding_window: false,
    rope_scaling: { factor: 4, original_max_position_embeddings: 32_768, type: 'yarn' },
  },
  'Qwen 3': { architectures: ['Qwen3ForCausalLM'], head_dim: 128, max_window_layers: 28, rope_scaling: null },
  'SmolLM 2': { is_llama_config: true, rope_interleaved: false, 'transformers.js_config': { dtype: 'q4' } },
}

for (const [name, fields] of Object.entries(published)) {
  test(`the settings of ${name} are taken`, (t) => {
    t.notThrows(() => read(t, fields))
  })
}

const refused: Record<string, [changes: object, says: RegExp]> = {
  'another architecture': [
    { architectures: ['MambaForCausalLM'] },
    /MambaForCausalLM is not supported; supported: .*Llama/,
  ],
  'no architecture': [{ architectures: undefined }, /is not named/],
  'another activation': [{ hidden_act: 'gelu' }, /hidden_act must be "silu"; found "gelu"/],
  'quantized weights': [{ quantization_config: { bits: 4 } }, /quantization_config/],
  'another rotary type': [
    { rope_scaling: { rope_type: 'dynamic', factor: 2 } },
    /rotary type "dynamic" is not supported/,
  ],
  'a missing size': [{ hidden_size: undefined }, /hidden_size must be a whole number/],
  'a size that is no number': [{ vocab_size: '512' }, /vocab_size must be .* found "512"/],
  'heads that do not divide': [{ num_key_value_heads: 3 }, /num_key_value_heads must be a divisor/],
  'a setting that nobody knows': [{ logit_scale: 0.5 }, /logit_scale is 0\.5, which is not supported/],
  'a setting of another family': [{ sliding_window: 512 }, /sliding_window is 512, which is not supported/],
  'a rotary setting that nobody knows': [
    { rope_scaling: { rope_type: 'linear', factor: 2, mrope_section: [1, 2] } },
    /mrope_section is \[1,2\], which is not supported/,
  ],
  'rotary settings that are no object': [{ rope_scaling: 'yarn' }, /rope_scaling must be an object; found "yarn"/],
  'rotary pairs side by side': [{ rope_interleaved: true }, /rope_interleaved must be false/],
  'layer types that do not fit its layers': [
    { architectures: ['Qwen3ForCausalLM'], layer_types: ['full_attention'] },
    /layer_types must be 5 of full_attention and sliding_attention/,
  ],
  'layers that slide without a window': [
    { architectures: ['Qwen2ForCausalLM'], layer_types: Array(5).fill('sliding_attention') },
    /use_sliding_window must be true/,
  ],
  'an odd head size': [{ head_dim: 7 }, /head_dim must be an even number/],
}

for (const [name, [changes, says]] of Object.entries(refused)) {
  test(`a config with ${name} is refused by name`, (t) => {
    t.throws(() => read(t, changes), { instanceOf: InvalidInputError, message: says })
  })
}

test('a missing directory, a file in its place, and a directory without config.json are told apart', (t) => {
  const folder = temporaryFolder(t)
  t.throws(() => readConfig(join(folder, 'nowhere')), { instanceOf: InvalidInputError, message: /no model at/ })
  t.throws(() => readConfig(folder), { instanceOf: InvalidInputError, message: /has no config\.json/ })
  writeFileSync(join(folder, 'config.json'), '{')
  t.throws(() => readConfig(folder), { instanceOf: InvalidInputError, message: /cannot be read as JSON/ })
  t.throws(() => readConfig(join(folder, 'config.json')), {
    instanceOf: InvalidInputError,
    message: /is not a GGUF file/,
  })
})
