import { InvalidInputError } from '@troupe/core'
import type { MetadataValue } from '../weights/gguf-metadata.js'
import type { GgufModel } from '../weights/gguf-model.js'
import { readable } from '../weights/weight-file.js'
import { PRE_TOKENIZERS } from './pre-tokenizers.js'
import { mergesFromScores } from './sentencepiece.js'
import type { TokenizerFiles } from './tokenizer-files.js'

/** llama.cpp's kinds of tokens (llama_token_type). */
const UNKNOWN = 2
const CONTROL = 3
const USER_DEFINED = 4

/**
 * A GGUF file's tokenizer in the form of a Hugging Face one, or undefined if it has none.
 * @throws InvalidInputError if it is of a kind that is not known here, or incomplete.
 */
export function ggufTokenizer(gguf: GgufModel): TokenizerFiles | undefined {
  const model = field(gguf, 'model')
  if (model === undefined || model === 'none') return undefined
  const build = model === 'llama' ? sentencePiece : model === 'gpt2' ? byteLevel : undefined
  if (!build) {
    throw new InvalidInputError(
      `${gguf.path}: its tokenizer is of the kind ${readable(String(model))}; supported: llama, gpt2. Give the prompt as token ids`,
    )
  }
  const vocabulary = new GgufVocabulary(gguf)
  return { tokenizer: JSON.stringify(build(vocabulary)), config: {}, pieces: vocabulary.pieces }
}

function field(gguf: GgufModel, name: string): MetadataValue | undefined {
  return gguf.metadata.get(`tokenizer.ggml.${name}`)
}

/** The parts of a GGUF file's tokenizer, checked to fit together. */
class GgufVocabulary {
  readonly pieces: string[]
  readonly ids: Record<string, number>
  readonly added: object[]

  constructor(private readonly gguf: GgufModel) {
    this.pieces = this.texts('tokens')
    const kinds = this.numbers('token_type', this.pieces.length)
    this.ids = Object.create(null)
    this.pieces.forEach((piece, id) => {
      this.ids[piece] ??= id
    })
    this.added = this.pieces.flatMap((content, id) => {
      const special = kinds[id] === CONTROL || kinds[id] === UNKNOWN
      if (!special && kinds[id] !== USER_DEFINED) return []
      return [{ id, content, special, single_word: false, lstrip: false, rstrip: false, normalized: false }]
    })
  }

  field(name: string): MetadataValue | undefined {
    return field(this.gguf, name)
  }

  /** The name of a way to cut text, which nothing else in the file tells. */
  text(name: string): string {
    const value = this.field(name)
    if (typeof value === 'string') return value
    if (value !== undefined) throw this.error(`tokenizer.ggml.${name} must be a text`)
    throw new InvalidInputError(
      `${this.gguf.path}: tokenizer.ggml.${name} is missing, so it is not known how its text is cut; convert the model again, or give the prompt as token ids`,
    )
  }

  texts(name: string): string[] {
    const values = this.field(name)
    if (Array.isArray(values) && values.length > 0 && values.every((value) => typeof value === 'string')) return values
    throw this.error(`tokenizer.ggml.${name} must be a list of texts`)
  }

  numbers(name: string, count: number): number[] {
    const values = this.field(name)
    const sound = (value: MetadataValue) => typeof value === 'number' && !Number.isNaN(value)
    if (Array.isArray(values) && values.length === count && values.every(sound)) return values as number[]
    throw this.error(`tokenizer.ggml.${name} must be a list of ${count} numbers`)
  }

  flag(name: string, otherwise: boolean): boolean {
    const value = this.field(name) ?? otherwise
    if (typeof value === 'boolean') return value
    throw this.error(`tokenizer.ggml.${name} must be true or false`)
  }

  /** The piece that a field like `bos_token_id` names. */
  piece(name: string): string | undefined {
    const id = this.field(name)
    if (id === undefined) return undefined
    const piece = typeof id === 'number' ? this.pieces[id] : undefined
    if (piece !== undefined) return piece
    throw this.error(`tokenizer.ggml.${name} is ${id}, which is not in the vocabulary of ${this.pieces.length}`)
  }

  /** Puts the tokens that the file asks for around a text. */
  postProcessor(begins: boolean): object {
    const wanted = (flag: string, token: string, otherwise: boolean) => {
      const piece = this.flag(flag, otherwise) ? this.piece(token) : undefined
      return piece === undefined ? [] : [piece]
    }
    const before = wanted('add_bos_token', 'bos_token_id', begins)
    const after = wanted('add_eos_token', 'eos_token_id', false)
    const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } })
    return {
      type: 'TemplateProcessing',
      single: [...before.map(special), { Sequence: { id: 'A', type_id: 0 } }, ...after.map(special)],
      pair: [],
      special_tokens: Object.fromEntries(
        [...before, ...after].map((id) => [id, { id, ids: [this.ids[id]], tokens: [id] }]),
      ),
    }
  }

  /** Pairs of tokens that together are one, the first to be merged first; what names no tokens merges nothing. */
  merges(): [string, string][] {
    return this.texts('merges').flatMap((merge): [string, string][] => {
      const space = merge.indexOf(' ', 1)
      const pair: [string, string] = [merge.slice(0, space), merge.slice(space + 1)]
      return [...pair, pair.join('')].every((piece) => piece in this.ids) ? [pair] : []
    })
  }

  error(problem: string): InvalidInputError {
    return new InvalidInputError(`${this.gguf.path}: ${problem}; convert the model again`)
  }
}

/** SentencePiece BPE: spaces are ▁, one is put before each text, what has no piece becomes bytes. */
function sentencePiece(vocabulary: GgufVocabulary): Record<string, unknown> {
  const { pieces } = vocabulary
  const merges = mergesFromScores(pieces, vocabulary.numbers('scores', pieces.length))
  const prefix = vocabulary.flag('add_space_prefix', true)
  const prepend = prefix ? [{ type: 'Prepend', prepend: '▁' }] : []
  const strip = prefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []
  return {
    version: '1.0',
    added_tokens: vocabulary.added,
    normalizer: {
      type: 'Sequence',
      normalizers: [...prepend, { type: 'Replace', pattern: { String: ' ' }, content: '▁' }],
    },
    pre_tokenizer: null,
    post_processor: vocabulary.postProcessor(true),
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...strip,
      ],
    },
    model: {
      type: 'BPE',
      vocab: vocabulary.ids,
      merges,
      unk_token: vocabulary.piece('unknown_token_id') ?? null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
    },
  }
}

/** Byte-level BPE: text is split by patterns, and the bytes of each part are merged as the file lists it. */
function byteLevel(vocabulary: GgufVocabulary): Record<string, unknown> {
  const name = vocabulary.text('pre')
  const pre = Object.hasOwn(PRE_TOKENIZERS, name) ? PRE_TOKENIZERS[name] : undefined
  if (!pre) {
    const known = Object.keys(PRE_TOKENIZERS).join(', ')
    throw vocabulary.error(`its pre-tokenizer ${readable(name)} is not supported; supported: ${known}`)
  }
  const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false }
  return {
    version: '1.0',
    added_tokens: vocabulary.added,
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        ...pre.patterns.map((Regex) => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false })),
        bytes,
      ],
    },
    post_processor: vocabulary.postProcessor(pre.begins),
    decoder: bytes,
    model: {
      type: 'BPE',
      vocab: vocabulary.ids,
      merges: vocabulary.merges(),
      unk_token: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: pre.ignoreMerges,
    },
  }
}
