import { InvalidInputError } from '@troupe/core'
import { readable } from '../weights/weight-file.js'

/**
 * Fields that transformers writes to config.json and that change nothing that is computed here: names and versions, what
 * only training uses, what only chooses an implementation, and the sampling defaults that older versions kept there.
 */
const HARMLESS = new Set([
  ...['_name_or_path', 'name_or_path', 'model_type', 'transformers_version', 'torch_dtype', 'dtype', 'tokenizer_class'],
  ...[
    'transformers.js_config',
    'is_llama_config',
    'max_sequence_length',
    'model_max_length',
    'tensor_data_layout',
    'unsloth_version',
    'unsloth_fixed',
    'language',
    'task_specific_params',
  ],
  ...[
    'initializer_range',
    'attention_dropout',
    'hidden_dropout',
    'attention_probs_dropout_prob',
    'label2id',
    'id2label',
  ],
  ...['finetuning_task', 'problem_type', 'gradient_checkpointing', 'tf_legacy_loss', 'prefix', 'pretraining_tp'],
  ...['use_cache', 'attn_implementation', '_attn_implementation', '_attn_implementation_autoset', 'use_flash_attn'],
  ...[
    '_flash_attn_2_enabled',
    'use_bfloat16',
    'torchscript',
    'return_dict',
    'output_attentions',
    'output_hidden_states',
  ],
  ...['chunk_size_feed_forward', 'pad_token_id', 'sep_token_id', 'unk_token_id', 'decoder_start_token_id'],
  ...['do_sample', 'early_stopping', 'max_length', 'min_length', 'max_new_tokens', 'num_beams', 'num_beam_groups'],
  ...['diversity_penalty', 'temperature', 'top_k', 'top_p', 'typical_p', 'repetition_penalty', 'length_penalty'],
  ...['no_repeat_ngram_size', 'encoder_no_repeat_ngram_size', 'num_return_sequences', 'output_scores'],
  ...['return_dict_in_generate', 'remove_invalid_values', 'bad_words_ids', 'suppress_tokens', 'begin_suppress_tokens'],
])

/** More layers, or larger heads, than this are taken for damage. */
export const MOST_LAYERS = 1 << 14
export const MOST_HEAD_SIZE = 1 << 14

/** Typed access to config.json whose errors name the file and the field, and which knows what has been looked at. */
export class ConfigFields {
  readonly #read = new Set<string>()

  constructor(
    readonly path: string,
    private readonly fields: Record<string, unknown>,
  ) {}

  get(name: string): unknown {
    this.#read.add(name)
    return this.fields[name] ?? undefined
  }

  /** Whether the file has the field, be it as null. */
  has(name: string): boolean {
    return name in this.fields
  }

  /**
   * @param most What is taken as meant: larger numbers are damage, and would take memory before anything else fails.
   * @throws InvalidInputError unless the field is a whole number from 1 to `most`.
   */
  count(name: string, otherwise?: number, most = 2 ** 31): number {
    const value = this.get(name) ?? otherwise
    if (Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) <= most) return value as number
    throw this.error(name, `a whole number of at least 1${(value as number) > most ? ` and at most ${most}` : ''}`)
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

  /**
   * The token ids of a field that has one, several or none.
   * @throws InvalidInputError unless they are whole numbers.
   */
  tokens(name: string): number[] {
    const ids = [this.get(name) ?? []].flat()
    if (ids.every((id) => Number.isSafeInteger(id) && (id as number) >= 0)) return ids as number[]
    throw this.error(name, 'a token id or a list of them')
  }

  /** The fields of an object inside this one; none if it is missing. */
  group(name: string): ConfigFields {
    const value = this.get(name) ?? {}
    if (typeof value !== 'object' || Array.isArray(value)) throw this.error(name, 'an object')
    return new ConfigFields(this.path, value as Record<string, unknown>)
  }

  /**
   * Refuses a file that sets something that nobody has looked at, for it may change what a model computes.
   * @throws InvalidInputError naming the first field that was not read, is not known to be harmless, and is set.
   */
  refuseUnread(): void {
    for (const [name, value] of Object.entries(this.fields)) {
      if (this.#read.has(name) || HARMLESS.has(name) || isUnset(value)) continue
      throw new InvalidInputError(
        `${this.path}: ${readable(name)} is ${readable(JSON.stringify(value))}, which is not supported and may change what the model computes; use a model without it`,
      )
    }
  }

  error(name: string, expected: string): InvalidInputError {
    return new InvalidInputError(
      `${this.path}: ${name} must be ${expected}; ${this.has(name) ? `found ${readable(JSON.stringify(this.fields[name]))}` : 'it is missing'}`,
    )
  }
}

function isUnset(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0
  return value === null || value === false
}
