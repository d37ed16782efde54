import { closeSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/** A Llama of 5 layers with 8 query and 4 key/value heads, 260 thousand weights in all. */
const small = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: 64,
  intermediate_size: 172,
  num_hidden_layers: 5,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  head_dim: 8,
  vocab_size: 512,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  hidden_act: 'silu',
  tie_word_embeddings: true,
}

/** Bytes of the keys and values of one token, in float32. */
export const kvBytesPerToken = small.num_hidden_layers * 2 * small.num_key_value_heads * small.head_dim * 4

/** Writes a model of random weights that holds `contextLength` tokens into an empty folder; the same ones every time. */
export function writeRandomModel(folder: string, contextLength: number): void {
  let state = 1
  const random = (shape: readonly number[]) => {
    const width = Math.sqrt(12 / (shape[1] ?? 1))
    return Float32Array.from({ length: sizeOf(shape) }, () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      // Numbers of variance 1/inputs, so that products keep the size of what they multiply.
      return shape.length === 1 ? 1 : (state / 2 ** 32 - 0.5) * width
    })
  }
  writeModel(folder, small, contextLength, (_, shape) => random(shape))
}

/** A Llama of 8 layers, each of 20 million weights. */
const large = { ...small, hidden_size: 1024, intermediate_size: 5632, num_hidden_layers: 8, head_dim: 128 }

/**
 * Writes a model of 164 million weights, of which those of the layers are 0 and a hole in the file.
 * @returns the bytes of its weights
 */
export function writeHollowModel(folder: string, contextLength: number): number {
  const embedding = (shape: readonly number[]) => Float32Array.from({ length: sizeOf(shape) }, (_, i) => (i * 37) % 101)
  return writeModel(folder, large, contextLength, (name, shape) =>
    name === 'model.embed_tokens.weight' ? embedding(shape) : undefined,
  )
}

function shapesOf(config: typeof small): Record<string, number[]> {
  const { hidden_size: hidden, intermediate_size: wide, head_dim: headSize, vocab_size: vocabulary } = config
  const [queryWidth, keyWidth] = [config.num_attention_heads * headSize, config.num_key_value_heads * headSize]
  const shapes: Record<string, number[]> = { 'model.embed_tokens.weight': [vocabulary, hidden] }
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const name = `model.layers.${layer}`
    shapes[`${name}.input_layernorm.weight`] = [hidden]
    shapes[`${name}.post_attention_layernorm.weight`] = [hidden]
    shapes[`${name}.self_attn.q_proj.weight`] = [queryWidth, hidden]
    shapes[`${name}.self_attn.k_proj.weight`] = [keyWidth, hidden]
    shapes[`${name}.self_attn.v_proj.weight`] = [keyWidth, hidden]
    shapes[`${name}.self_attn.o_proj.weight`] = [hidden, queryWidth]
    shapes[`${name}.mlp.gate_proj.weight`] = [wide, hidden]
    shapes[`${name}.mlp.up_proj.weight`] = [wide, hidden]
    shapes[`${name}.mlp.down_proj.weight`] = [hidden, wide]
  }
  shapes['model.norm.weight'] = [hidden]
  return shapes
}

/** Writes a model's tensors, those left out as zeros that take no room on the disk; gives the bytes of all. */
function writeModel(
  folder: string,
  config: typeof small,
  contextLength: number,
  tensorOf: (name: string, shape: readonly number[]) => Float32Array | undefined,
): number {
  const header: Record<string, unknown> = {}
  const written: { at: number; numbers: Float32Array }[] = []
  let offset = 0
  for (const [name, shape] of Object.entries(shapesOf(config))) {
    const end = offset + 4 * sizeOf(shape)
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, end] }
    const numbers = tensorOf(name, shape)
    if (numbers) written.push({ at: offset, numbers })
    offset = end
  }
  const text = Buffer.from(JSON.stringify(header).padEnd(Math.ceil(JSON.stringify(header).length / 8) * 8))
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(text.length))
  const file = openSync(join(folder, 'model.safetensors'), 'w')
  const start = writeSync(file, Buffer.concat([size, text]))
  ftruncateSync(file, start + offset)
  for (const { at, numbers } of written)
    writeSync(file, new Uint8Array(numbers.buffer), 0, numbers.byteLength, start + at)
  closeSync(file)
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, max_position_embeddings: contextLength }))
  return offset
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, count) => product * count)
}
