import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A Llama of 5 layers with 8 query and 4 key/value heads, 260 thousand weights in all. */
const config = {
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
export const kvBytesPerToken = config.num_hidden_layers * 2 * config.num_key_value_heads * config.head_dim * 4

/** Writes a model of random weights that holds `contextLength` tokens into an empty folder; the same ones every time. */
export function writeRandomModel(folder: string, contextLength: number): void {
  const { hidden_size: hidden, intermediate_size: wide, head_dim: headSize, vocab_size: vocabulary } = config
  const keyWidth = config.num_key_value_heads * headSize
  const shapes: Record<string, number[]> = { 'model.embed_tokens.weight': [vocabulary, hidden] }
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const name = `model.layers.${layer}`
    shapes[`${name}.input_layernorm.weight`] = [hidden]
    shapes[`${name}.post_attention_layernorm.weight`] = [hidden]
    shapes[`${name}.self_attn.q_proj.weight`] = [hidden, hidden]
    shapes[`${name}.self_attn.k_proj.weight`] = [keyWidth, hidden]
    shapes[`${name}.self_attn.v_proj.weight`] = [keyWidth, hidden]
    shapes[`${name}.self_attn.o_proj.weight`] = [hidden, hidden]
    shapes[`${name}.mlp.gate_proj.weight`] = [wide, hidden]
    shapes[`${name}.mlp.up_proj.weight`] = [wide, hidden]
    shapes[`${name}.mlp.down_proj.weight`] = [hidden, wide]
  }
  shapes['model.norm.weight'] = [hidden]

  const header: Record<string, unknown> = {}
  const tensors: Float32Array[] = []
  let offset = 0
  let state = 1
  for (const [name, shape] of Object.entries(shapes)) {
    const size = shape.reduce((product, count) => product * count)
    // Numbers of variance 1/inputs, so that products keep the size of what they multiply.
    const width = Math.sqrt(12 / (shape[1] ?? 1))
    tensors.push(
      Float32Array.from({ length: size }, () => {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
        return shape.length === 1 ? 1 : (state / 2 ** 32 - 0.5) * width
      }),
    )
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + 4 * size] }
    offset += 4 * size
  }
  const text = Buffer.from(JSON.stringify(header).padEnd(Math.ceil(JSON.stringify(header).length / 8) * 8))
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(text.length))
  const data = tensors.map((tensor) => new Uint8Array(tensor.buffer))
  writeFileSync(join(folder, 'model.safetensors'), Buffer.concat([size, text, ...data]))
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, max_position_embeddings: contextLength }))
}
