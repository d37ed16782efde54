import { asciiOfBytes } from '../grammar/byte-symbols.js'
import type { MaskVocabulary } from '../grammar/mask-vocabulary.js'
import { matcherLibrary } from '../grammar/matcher-library.js'

/** Numbers from 0 to below 1 that a seed decides. */
export function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Every byte, and some sequences of them, half characters among them. */
export function byteVocabulary(): MaskVocabulary {
  const texts = [
    '":',
    '{"',
    '", "',
    '"}',
    '": "',
    'true',
    'al',
    'null',
    '[[',
    ' 1',
    '0.',
    '}}',
    '\n  ',
    'é',
    'ab',
    'the',
  ]
  const halves = [
    [0xc3],
    [0xe2, 0x82],
    [0x82, 0xac],
    [0xac, 0x22],
    [0xf0, 0x9f],
    [0x98, 0x80],
    [0x61, 0xc3],
    [0xa9, 0x22],
  ]
  const more = [
    ...texts.map((text) => new TextEncoder().encode(text)),
    ...halves.map((bytes) => Uint8Array.from(bytes)),
  ]
  const bytes = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte))
  const tokens = [...bytes, ...more]
  return { size: tokens.length + 40, endTokens: [tokens.length + 1], tokenBytes: (token) => tokens[token] }
}

/** Matches grammars without threads, many in a second. */
export class TestMatcher {
  readonly #library = matcherLibrary()

  /** What random choices among allowed tokens say, if they came to an end; and what was wrong with the masks on the way. */
  async walk(ebnf: string, vocabulary: MaskVocabulary, random: () => number, steps: number) {
    const matcher = await this.#matcher(ebnf, vocabulary)
    const bytes: number[] = []
    const [end] = vocabulary.endTokens
    const closing = new Set(Array.from('"}]0', (letter) => letter.charCodeAt(0)))
    for (let step = 0; step < steps * 2; step++) {
      const allowed = allowedTokens(await matcher.getNextTokenBitmask(), vocabulary.size)
      if (allowed.length === 0) throw new Error(`no token may follow ${Buffer.from(bytes)}`)
      const odd = allowed.find((token) => token !== end && vocabulary.tokenBytes(token) === undefined)
      if (odd !== undefined) throw new Error(`token ${odd}, which has no text, may follow`)
      const isLate = step > steps
      if (allowed.includes(end!) && (isLate || allowed.length === 1 || random() < 0.3))
        return { isEnded: matcher.acceptToken(end!), text: decoded(bytes) }
      const texts = allowed.filter((token) => token !== end)
      const closers = texts.filter(
        (token) => vocabulary.tokenBytes(token)!.length === 1 && closing.has(vocabulary.tokenBytes(token)![0]!),
      )
      const choices = isLate && closers.length > 0 && random() < 0.9 ? closers : texts
      const token = choices[Math.floor(random() * choices.length)]!
      if (!matcher.acceptToken(token)) throw new Error(`token ${token} is in the mask, and refused`)
      bytes.push(...vocabulary.tokenBytes(token)!)
    }
    return { isEnded: false, text: '' }
  }

  /** The bytes of a text that were allowed before one was not; all, and the end, if it is one of the grammar's. */
  async accepted(
    ebnf: string,
    vocabulary: MaskVocabulary,
    tokens: readonly number[],
  ): Promise<{ count: number; mayEnd: boolean }> {
    const matcher = await this.#matcher(ebnf, vocabulary)
    for (const [count, token] of tokens.entries()) {
      if (!has(await matcher.getNextTokenBitmask(), token)) return { count, mayEnd: false }
      matcher.acceptToken(token)
    }
    return { count: tokens.length, mayEnd: has(await matcher.getNextTokenBitmask(), vocabulary.endTokens[0]!) }
  }

  async #matcher(ebnf: string, vocabulary: MaskVocabulary) {
    const { TokenizerInfo, GrammarCompiler, GrammarMatcher } = this.#library
    const tokens = Array.from(
      { length: vocabulary.size },
      (_, token) => asciiOfBytes(vocabulary.tokenBytes(token) ?? new Uint8Array()) ?? '',
    )
    const info = await TokenizerInfo.createTokenizerInfo(tokens, 'raw', false, vocabulary.size, [
      ...vocabulary.endTokens,
    ])
    const compiler = await GrammarCompiler.createGrammarCompiler(info, false)
    return GrammarMatcher.createGrammarMatcher(await compiler.compileGrammar(ebnf))
  }
}

function has(mask: Int32Array, token: number): boolean {
  return ((mask[token >> 5]! >>> (token & 31)) & 1) === 1
}

export function allowedTokens(mask: Int32Array, size: number): number[] {
  return Array.from({ length: size }, (_, token) => token).filter((token) => has(mask, token))
}

function decoded(bytes: readonly number[]): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes))
}
