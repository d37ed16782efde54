import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { InvalidInputError } from '@troupe/core'
import { isQuantized, type Tensor } from '@troupe/tensor'
import test, { type ExecutionContext } from 'ava'
import { readConfig } from '../models/config.js'
import { openCheckpoint } from '../models/open-checkpoint.js'
import { openDamaged } from '../testing/damage.js'
import { temporaryFolder } from '../testing/files.js'
import { type GgufContent, gguf, type Typed } from '../testing/gguf.js'
import { dequantize } from './dequantize.js'
import type { QuantizedFormat } from './formats.js'
import { quantize } from './quantize.js'
import { Weights } from './weights.js'

const HIDDEN = 64
const metadata: Record<string, Typed> = {
  'general.architecture': { string: 'llama' },
  'llama.context_length': { uint32: 128 },
  'llama.embedding_length': { uint32: HIDDEN },
  'llama.block_count': { uint32: 1 },
  'llama.feed_forward_length': { uint32: 96 },
  'llama.attention.head_count': { uint32: 2 },
  'llama.attention.head_count_kv': { uint32: 1 },
  'llama.attention.layer_norm_rms_epsilon': { float32: 2 ** -16 },
  'llama.rope.freq_base': { float32: 10_000 },
  'tokenizer.ggml.bos_token_id': { uint32: 1 },
  'tokenizer.ggml.eos_token_id': { uint32: 2 },
}

/** Whole numbers up to 127, one of them in each block of 32, so that Q8_0 keeps them exactly. */
function numbers(rows: number, columns: number): Float32Array {
  return Float32Array.from({ length: rows * columns }, (_, i) => (i % 32 === 0 ? 127 : ((i * 37) % 255) - 127))
}

const query = numbers(HIDDEN, HIDDEN)
/** As llama.cpp stores it: of each head of 32 rows, row i of each half side by side. */
const storedQuery = new Float32Array(query.length)
for (let row = 0; row < HIDDEN; row++) {
  const [head, half, i] = [Math.floor(row / 32), Math.floor((row % 32) / 16), row % 16]
  storedQuery.set(query.subarray(row * HIDDEN, (row + 1) * HIDDEN), (head * 32 + 2 * i + half) * HIDDEN)
}
const down = numbers(HIDDEN, 96)

const tensors: NonNullable<GgufContent['tensors']> = [
  { name: 'token_embd.weight', format: 'F32', shape: [5, HIDDEN], bytes: bytesOf(numbers(5, HIDDEN)) },
  { name: 'blk.0.attn_q.weight', format: 'Q8_0', shape: [HIDDEN, HIDDEN], bytes: quantize('Q8_0', storedQuery) },
  { name: 'blk.0.ffn_down.weight', format: 'Q8_0', shape: [HIDDEN, 96], bytes: quantize('Q8_0', down) },
]

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer)
}

function write(t: ExecutionContext, content: GgufContent): string {
  const path = join(temporaryFolder(t), 'model.gguf')
  writeFileSync(path, gguf(content))
  return path
}

function weightsOf(t: ExecutionContext, content: GgufContent): Weights {
  const checkpoint = openCheckpoint(write(t, content))
  t.teardown(() => checkpoint.close())
  return new Weights(checkpoint)
}

/** A tensor's numbers, whether it holds them as floats or in blocks. */
function floats({ dtype, data, bytes }: Tensor): number[] {
  if (!isQuantized(dtype)) return [...(data as Float32Array)]
  return [...dequantize(dtype.toUpperCase() as QuantizedFormat, bytes)]
}

test('the configuration is the one in the metadata', (t) => {
  const config = readConfig(write(t, { metadata, tensors }))
  t.like(config, {
    architecture: 'LlamaForCausalLM',
    hiddenSize: HIDDEN,
    headSize: 32,
    heads: 2,
    keyValueHeads: 1,
    vocabularySize: 5,
    contextLength: 128,
    normEpsilon: 2 ** -16,
    tiedEmbeddings: true,
    endTokens: [2],
  })
  const tokens = { 'tokenizer.ggml.tokens': { strings: ['a', '<|im_end|>', '</s>', 'b', '<|eot_id|>'] } }
  t.deepEqual(readConfig(write(t, { metadata: { ...metadata, ...tokens }, tensors })).endTokens, [2, 1, 4])
  const layout: Record<string, Typed> = { 'llama.tensor_data_layout': { string: 'Meta AI original pth' } }
  t.notThrows(() => readConfig(write(t, { metadata: { ...metadata, ...layout }, tensors })))
  const window = { 'llama.attention.sliding_window': { uint32: 16 } }
  t.like(readConfig(write(t, { metadata: { ...metadata, ...window }, tensors })), {
    architecture: 'MistralForCausalLM',
    slidingWindow: 16,
    slidingLayers: [true],
  })
})

test('factors in rope_freqs.weight divide the frequencies, and YaRN stretches them', (t) => {
  const plain = readConfig(write(t, { metadata, tensors })).rotary
  const factors = Float32Array.from({ length: 16 }, (_, i) => (i < 8 ? 1 : 8))
  const rope = { name: 'rope_freqs.weight', format: 'F32' as const, shape: [16], bytes: bytesOf(factors) }
  const divided = readConfig(write(t, { metadata, tensors: [...tensors, rope] })).rotary
  t.deepEqual(
    divided.frequencies,
    plain.frequencies.map((frequency, i) => frequency / factors[i]!),
  )
  const yarn: Record<string, Typed> = {
    'llama.rope.scaling.type': { string: 'yarn' },
    'llama.rope.scaling.factor': { float32: 4 },
    'llama.rope.scaling.original_context_length': { uint32: 32 },
  }
  const stretched = readConfig(write(t, { metadata: { ...metadata, ...yarn }, tensors })).rotary
  t.is(stretched.frequencies.at(-1), plain.frequencies.at(-1)! / 4)
  t.is(stretched.scale, 0.1 * Math.log(4) + 1)
})

test("rows of queries and keys come in Hugging Face's order, by heads and whole", (t) => {
  const weights = weightsOf(t, { metadata, tensors })
  const name = 'model.layers.0.self_attn.q_proj.weight'
  t.deepEqual(floats(weights.matrix(name, [HIDDEN, HIDDEN])), [...query])
  const second = weights.matrix(name, [HIDDEN, HIDDEN], { rows: { start: 32, end: 64 } })
  t.deepEqual(floats(second), [...query.subarray(32 * HIDDEN)])
})

test('slices of a quantized matrix by rows and columns hold its numbers, and may not cut blocks', (t) => {
  const weights = weightsOf(t, { metadata, tensors })
  const name = 'model.layers.0.mlp.down_proj.weight'
  t.is(weights.blockColumns(name), 32)
  for (const columns of [
    { start: 0, end: 96 },
    { start: 32, end: 64 },
  ]) {
    for (const rows of [
      { start: 0, end: HIDDEN },
      { start: 7, end: 9 },
    ]) {
      const expected: number[] = []
      for (let row = rows.start; row < rows.end; row++) {
        expected.push(...down.subarray(row * 96 + columns.start, row * 96 + columns.end))
      }
      t.deepEqual(floats(weights.matrix(name, [HIDDEN, 96], { rows, columns })), expected)
    }
  }
  for (const columns of [
    { start: 10, end: 96 },
    { start: 32, end: 41 },
  ]) {
    t.throws(() => weights.matrix(name, [HIDDEN, 96], { columns }), {
      instanceOf: RangeError,
      message: /cut blocks of 32/,
    })
  }
})

test('whole rows of floats are used in place, and stay when the file is closed', (t) => {
  const path = write(t, { metadata, tensors })
  const checkpoint = openCheckpoint(path)
  const embedding = new Weights(checkpoint).matrix('model.embed_tokens.weight', [5, HIDDEN])
  checkpoint.close()
  t.deepEqual(floats(embedding), [...numbers(5, HIDDEN)])
  const { data } = embedding
  // The pages are the file's own: what is written to it shows, and is not taken for weights.
  const changed = gguf({
    metadata,
    tensors: [{ ...tensors[0]!, bytes: new Uint8Array(5 * HIDDEN * 4) }, ...tensors.slice(1)],
  })
  writeFileSync(path, changed, { flag: 'r+' })
  t.true((data as Float32Array).every((value) => value === 0))
  t.throws(() => embedding.data, { message: /model\.gguf was written to since it was opened/ })
})

test('a scale that is no number is refused by the name of its tensor', (t) => {
  const bytes = quantize('Q8_0', down).slice()
  new DataView(bytes.buffer).setUint16(34 * 5, 0x7e00, true)
  const weights = weightsOf(t, { metadata, tensors: [tensors[0]!, { ...tensors[2]!, bytes }] })
  t.throws(() => weights.matrix('model.layers.0.mlp.down_proj.weight', [HIDDEN, 96]), {
    instanceOf: InvalidInputError,
    message: /down_proj\.weight has a scale that is not a finite number in block 5/,
  })
})

test('a quantized vector is refused', (t) => {
  const norm = { ...tensors[2]!, name: 'output_norm.weight', shape: [HIDDEN * 96] }
  const weights = weightsOf(t, { metadata, tensors: [tensors[0]!, norm] })
  t.throws(() => weights.vector('model.norm.weight', HIDDEN * 96), {
    instanceOf: InvalidInputError,
    message: /model\.norm\.weight is a vector in Q8_0/,
  })
})

test('a file that is cut after it was opened is refused when its weights are loaded', (t) => {
  const path = write(t, { metadata, tensors })
  const checkpoint = openCheckpoint(path)
  truncateSync(path, 1000)
  t.throws(() => new Weights(checkpoint).matrix('model.layers.0.mlp.down_proj.weight', [HIDDEN, 96]), {
    instanceOf: InvalidInputError,
    message: /model\.gguf was \d+ bytes when it was opened and is 1000 now/,
  })
  checkpoint.close()
})

const refused: Record<string, [content: GgufContent, says: RegExp]> = {
  'another architecture': [
    { metadata: { ...metadata, 'general.architecture': { string: 'rwkv\n6' } } },
    /the architecture rwkv\?6 is not supported; supported: llama/,
  ],
  'a missing size': [
    { metadata: { ...metadata, 'llama.block_count': { string: 'two' } } },
    /block_count must be a whole number of at least 1; found "two"/,
  ],
  experts: [{ metadata: { ...metadata, 'llama.expert_count': { uint32: 8 } } }, /expert_count must be 0; found 8/],
  'a setting that nobody knows': [
    { metadata: { ...metadata, 'llama.logit_scale': { float32: 0.5 } } },
    /logit_scale is 0\.5, which is not supported/,
  ],
  'partial rotation': [
    { metadata: { ...metadata, 'llama.rope.dimension_count': { uint32: 16 } } },
    /rope\.dimension_count must be the size of a head, which is 32; found 16/,
  ],
  'a tensor that nobody knows': [
    { metadata, tensors: [...tensors, { ...tensors[0]!, name: 'blk.0.attn_sub_norm.weight' }] },
    /the tensor blk\.0\.attn_sub_norm\.weight is not one/,
  ],
}

for (const [name, [content, says]] of Object.entries(refused)) {
  test(`a file with ${name} is refused by name`, (t) => {
    const path = write(t, { tensors, ...content })
    t.throws(() => openCheckpoint(path).close(), { instanceOf: InvalidInputError, message: says })
  })
}

test('a damaged model is loaded or refused', (t) => {
  const content = gguf({ metadata, tensors })
  const path = write(t, {})
  openDamaged(path, content, 800, () => {
    const config = readConfig(path)
    const checkpoint = openCheckpoint(path)
    try {
      const weights = new Weights(checkpoint)
      weights.matrix('model.layers.0.self_attn.q_proj.weight', [HIDDEN, config.hiddenSize])
      weights.matrix('model.layers.0.mlp.down_proj.weight', [HIDDEN, config.intermediateSize])
    } finally {
      checkpoint.close()
    }
  })
  t.pass()
})
