import { InvalidInputError } from '@troupe/core'
import type { Checkpoint, StoredTensor } from './checkpoint.js'
import type { GgufTensor } from './gguf-file.js'
import { GgufModel } from './gguf-model.js'
import { readable } from './weight-file.js'

const OUTER: Record<string, string> = {
  token_embd: 'model.embed_tokens',
  output_norm: 'model.norm',
  output: 'lm_head',
}

const INNER: Record<string, string> = {
  attn_norm: 'input_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  attn_q_norm: 'self_attn.q_norm',
  attn_k_norm: 'self_attn.k_norm',
  ffn_norm: 'post_attention_layernorm',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
}

/** Tensors that are part of the configuration, not of the layers. */
const SETTINGS = new Set(['rope_freqs.weight'])

/** The weights of a GGUF file, or of all its parts. */
export class GgufCheckpoint implements Checkpoint {
  readonly configName = 'its metadata'
  readonly #gguf: GgufModel
  readonly #tensors = new Map<string, GgufTensor>()
  readonly #headSize: number
  /** llama.cpp keeps the rotary pairs of these side by side, where Hugging Face keeps them half a head apart. */
  readonly #interleaved: RegExp | undefined

  /**
   * @param headSizeOf Gives the size of a model's heads, which the order of its rows depends on.
   * @throws InvalidInputError if the file is unsound; what headSizeOf throws.
   */
  constructor(
    readonly path: string,
    headSizeOf: (gguf: GgufModel) => number,
  ) {
    this.#gguf = new GgufModel(path)
    try {
      this.#headSize = headSizeOf(this.#gguf)
      if (this.#gguf.metadata.get('general.architecture') === 'llama') this.#interleaved = /\.(q|k)_proj\./
      for (const [name, tensor] of this.#gguf.tensors) {
        if (!SETTINGS.has(name)) this.#tensors.set(this.#rename(name), tensor)
      }
    } catch (error) {
      this.close()
      throw error
    }
  }

  has(name: string): boolean {
    return this.#tensors.has(name)
  }

  find(name: string): StoredTensor {
    const tensor = this.#tensors.get(name)
    if (!tensor) throw new InvalidInputError(`${this.path}: it lacks the tensor that Hugging Face calls ${name}`)
    const stored: StoredTensor = {
      format: tensor.format,
      shape: tensor.shape,
      file: tensor.file,
      offset: tensor.start,
    }
    const size = this.#headSize
    return this.#interleaved?.test(name) ? { ...stored, rowOrder: (row) => interleavedRow(row, size) } : stored
  }

  storedBytes(prefix: string): number {
    const tensors = [...this.#tensors].filter(([name]) => name.startsWith(prefix))
    return tensors.reduce((sum, [, { start, end }]) => sum + end - start, 0)
  }

  close(): void {
    this.#gguf.close()
  }

  #rename(name: string): string {
    const [, layer, part, kind] = /^(?:blk\.(\d+)\.)?([a-z_]+)\.(weight|bias)$/.exec(name) ?? []
    const renamed = part && (layer === undefined ? OUTER : INNER)[part]
    if (!renamed) {
      throw new InvalidInputError(
        `${this.path}: the tensor ${readable(name)} is not one of its architecture's that is known here; use another model`,
      )
    }
    return layer === undefined ? `${renamed}.${kind}` : `model.layers.${layer}.${renamed}.${kind}`
  }
}

/** Where a row is that turns with the one half a head away, if each such pair is stored side by side. */
function interleavedRow(row: number, headSize: number): number {
  const within = row % headSize
  const half = headSize / 2
  return row - within + (within % half) * 2 + Math.floor(within / half)
}
