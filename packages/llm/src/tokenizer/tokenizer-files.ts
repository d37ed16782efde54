import { InvalidInputError } from '@troupe/core'
import { type AddedToken, addedTokens } from './added-tokens.js'

/** The source of a tokenizer: the contents of Hugging Face's files. */
export interface TokenizerFiles {
  /** The text of tokenizer.json. */
  tokenizer: string
  /** tokenizer_config.json, of which the added tokens and `clean_up_tokenization_spaces` are used. */
  config: Record<string, unknown>
  /** added_tokens.json of older models: ids by text. */
  addedTokens?: Record<string, unknown>
  /** The text of each token, by id, where several say the same and tokenizer.json therefore has but one of them. */
  pieces?: readonly string[]
}

/** The part of a tokenizer that decoding needs. */
export interface TokenizerDescription {
  /** The ids that the vocabulary gives. */
  ids: Uint32Array
  /** Texts that are tokens of their own. */
  added: string[]
  /** Those of them that no text shows. */
  special: Set<string>
  decoder: unknown
  /** Whether spaces before punctuation are taken away, which transformers does for all kinds but BPE. */
  tidies: boolean
}

/**
 * A tokenizer.json with the tokens that the other files add.
 * @throws InvalidInputError if it is not what a tokenizer.json holds.
 */
export function withAddedTokens({ tokenizer, config, addedTokens: legacy = {} }: TokenizerFiles): {
  json: string
  description: TokenizerDescription
} {
  const parsed = objectOf(parse(tokenizer), 'tokenizer.json')
  const model = objectOf(parsed.model, 'its model')
  if (model.type === 'BPE' && model.merges === undefined) throw new InvalidInputError('its model has no merges')
  const known = listOf(parsed.added_tokens) as AddedToken[]
  const more = addedTokens(known, config, legacy)
  const all = [...known, ...more]
  return {
    json: more.length === 0 ? tokenizer : JSON.stringify({ ...parsed, added_tokens: all }),
    description: {
      ids: Uint32Array.from(idsOf(model.vocab)),
      added: all.map(({ content }) => content),
      special: new Set(all.filter(({ special }) => special).map(({ content }) => content)),
      decoder: parsed.decoder,
      tidies: tidies(config, model),
    },
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new InvalidInputError(`it is not JSON: ${(error as Error).message}`)
  }
}

function objectOf(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw new InvalidInputError(`${what} must be an object, found ${value === undefined ? 'none' : typeof value}`)
}

function listOf(value: unknown): unknown[] {
  if (value === undefined || value === null) return []
  const isToken = (token: unknown) => typeof (token as AddedToken | null)?.content === 'string'
  if (Array.isArray(value) && value.every(isToken)) return value
  throw new InvalidInputError('added_tokens must be a list of tokens with a content')
}

/** Ids by text, or, in a Unigram vocabulary, pairs of text and score in the order of ids. */
function idsOf(vocabulary: unknown): number[] {
  if (Array.isArray(vocabulary)) return vocabulary.map((_, id) => id)
  if (typeof vocabulary === 'object' && vocabulary !== null) return Object.values(vocabulary)
  throw new InvalidInputError('its model has no vocab')
}

/** The kind is left out in older files; a model with merges is BPE. */
function tidies(config: Record<string, unknown>, model: Record<string, unknown>): boolean {
  if (config.clean_up_tokenization_spaces !== true) return false
  const isBpe = model.type === 'BPE' || (model.type === undefined && model.merges !== undefined)
  return !isBpe || config.clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output === true
}

const PARTS = {
  Decoder: 'decoder',
  PreTokenizer: 'pre_tokenizer',
  Normalizer: 'normalizer',
  PostProcessor: 'post_processor',
  Model: 'model',
}

/** The library's complaint about a tokenizer.json, with the field and its kinds where it only says that none of its own fit. */
export function named(message: string, json: string): string {
  const part = Object.entries(PARTS).find(([name]) => message.includes(`untagged enum ${name}`))?.[1]
  if (!part) return message
  const kinds = typesIn((JSON.parse(json) as Record<string, unknown>)[part]).join(', ')
  return `its ${part} of the kind ${kinds || 'that is not said'} is not one that the tokenizers library reads: ${message}`
}

function typesIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  const own = (value as { type?: unknown }).type
  return [...(typeof own === 'string' ? [own] : []), ...Object.values(value).flatMap(typesIn)]
}
