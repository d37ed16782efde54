import { InvalidInputError } from '@troupe/core'

/** A token of its own in a text, as tokenizer.json describes it. */
export interface AddedToken {
  id: number
  content: string
  special: boolean
  single_word: boolean
  lstrip: boolean
  rstrip: boolean
  normalized: boolean
}

const NAMED = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token']
const FLAGS = ['special', 'single_word', 'lstrip', 'rstrip', 'normalized'] as const

/**
 * The tokens that a model's other files add to those of tokenizer.json, in the order in which transformers adds them:
 * `added_tokens_decoder` of tokenizer_config.json and added_tokens.json by their ids, then the special tokens that
 * tokenizer_config.json names.
 * @throws InvalidInputError if one has no text or id.
 */
export function addedTokens(
  known: readonly AddedToken[],
  config: Record<string, unknown>,
  legacy: Record<string, unknown>,
): AddedToken[] {
  const named = namedTokens(config)
  const isNamed = (content: string) => named.some((token) => token.content === content)
  const declared = [...declaredTokens(config), ...legacyTokens(legacy, isNamed)].map((token) => ({
    ...token,
    special: token.special || isNamed(token.content),
  }))
  declared.sort((a, b) => a.id - b.id)
  const added: AddedToken[] = []
  for (const token of [...declared, ...named]) {
    if (![...known, ...added].some((other) => isSame(other, token))) added.push(token)
  }
  return added
}

/** Whether one says nothing that the other does not: a token that is known needs to be named again to become special. */
function isSame(known: AddedToken, token: AddedToken): boolean {
  return known.content === token.content && (known.special || !token.special)
}

function declaredTokens(config: Record<string, unknown>): AddedToken[] {
  const declared = config.added_tokens_decoder
  if (typeof declared !== 'object' || declared === null) return []
  return Object.entries(declared).map(([key, token]) => ({
    ...tokenOf(token, `added_tokens_decoder of ${key}`),
    id: idOf(Number(key), 'added_tokens_decoder'),
  }))
}

function legacyTokens(legacy: Record<string, unknown>, isSpecial: (content: string) => boolean): AddedToken[] {
  return Object.entries(legacy).map(([content, id]) => {
    const special = isSpecial(content)
    return { ...plain(content), id: idOf(id, 'added_tokens.json'), special, normalized: !special }
  })
}

function namedTokens(config: Record<string, unknown>): AddedToken[] {
  const extra = [config.additional_special_tokens, config.extra_special_tokens].flatMap((tokens) =>
    typeof tokens === 'object' && tokens !== null ? Object.values(tokens) : [],
  )
  const values = [...NAMED.map((name) => config[name]), ...extra]
  return values
    .filter((value) => value !== null && value !== undefined)
    .map((value) => ({ ...tokenOf(value, 'a special token of tokenizer_config.json'), special: true }))
    .filter(({ content }) => content !== '')
}

/** A token that is written as its text alone, or as an object with flags. */
function tokenOf(value: unknown, where: string): AddedToken {
  if (typeof value === 'string') return plain(value)
  const token = (value ?? {}) as Record<string, unknown>
  if (typeof token.content !== 'string') throw new InvalidInputError(`${where} has no text`)
  const flags = Object.fromEntries(FLAGS.map((flag) => [flag, token[flag] === true]))
  return {
    ...plain(token.content),
    ...flags,
    ...(token.normalized === undefined ? { normalized: !flags.special } : {}),
  }
}

function plain(content: string): AddedToken {
  return { id: 0, content, special: false, single_word: false, lstrip: false, rstrip: false, normalized: false }
}

function idOf(id: unknown, where: string): number {
  if (Number.isInteger(id) && Number(id) >= 0 && Number(id) < 2 ** 32) return Number(id)
  throw new InvalidInputError(`${where} has the id ${JSON.stringify(id)}, which must be a whole number from 0`)
}
