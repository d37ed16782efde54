import { InvalidInputError } from '@troupe/core'
import type { Decoder } from 'tokenizers'
import { bytesOfLetters } from './byte-letters.js'
import { tokenizersLibrary } from './tokenizers-library.js'

type Step = Record<string, unknown> & { type?: unknown }

const BYTE = /^<0x[0-9A-Fa-f]{2}>$/
/** Steps that turn each token's text into one of its own. */
const BY_TOKEN = ['BPEDecoder', 'WordPiece', 'Metaspace', 'CTC', 'Replace', 'Strip', 'ByteFallback']
/** Steps that join the texts of all tokens. */
const JOINING = ['ByteLevel', 'Fuse']
const KNOWN = [...BY_TOKEN, ...JOINING, 'Sequence']

/** Turns tokens' texts into one text, by the decoder that a tokenizer.json describes. */
export class TextDecoder {
  readonly #decoder: Decoder | undefined
  readonly #steps: readonly Step[]
  /** Whether more tokens only ever add to the text of those before, but for bytes of an unfinished character. */
  readonly isIncremental: boolean

  /** @throws InvalidInputError if a step is not known, or may end the process. */
  constructor(description: unknown) {
    this.#steps = stepsOf(description)
    for (const step of this.#steps) check(step)
    this.#decoder = this.#steps.length === 0 ? undefined : load(description)
    this.isIncremental = isIncremental(this.#steps)
  }

  /** The text of tokens in their order. */
  decode(pieces: string[]): string {
    if (pieces.length === 0) return ''
    return this.#decoder ? this.#decoder.decode(pieces) : pieces.join(' ')
  }

  /** What a piece says behind others, as bytes, which need not be whole characters. */
  bytesOf(piece: string): Uint8Array {
    if (BYTE.test(piece) && this.#has('ByteFallback')) return Uint8Array.of(Number.parseInt(piece.slice(3, 5), 16))
    if (this.#has('ByteLevel')) return bytesOfLetters(piece) ?? new TextEncoder().encode(piece)
    // Behind another, since many decoders take a space from the beginning of a text.
    const before = 'a'
    return new TextEncoder().encode(this.decode([before, piece]).slice(this.decode([before]).length))
  }

  #has(type: string): boolean {
    return this.#steps.some((step) => step.type === type)
  }

  /** Whether the text up to a token may become another one with the next, rather than a longer one. */
  isUnsettled(last: string): boolean {
    return this.#steps.some(({ type, suffix = '</w>' }) => {
      if (type === 'ByteFallback') return BYTE.test(last)
      if (type !== 'BPEDecoder') return false
      const found = last.indexOf(String(suffix))
      return found >= 0 && (suffix === '' || found + String(suffix).length < last.length)
    })
  }
}

function stepsOf(description: unknown): Step[] {
  if (description === null || description === undefined) return []
  const step = description as Step
  if (step.type !== 'Sequence') return [step]
  return (step.decoders as unknown[]).flatMap(stepsOf)
}

/** The library takes a slice backwards where both ends are stripped of one text, and ends its process on some patterns. */
function check(step: Step): void {
  if (!KNOWN.includes(String(step.type))) {
    throw new InvalidInputError(
      `its decoder ${JSON.stringify(step.type)} is not supported; supported: ${KNOWN.join(', ')}`,
    )
  }
  if (step.type === 'Strip' && Number(step.start) > 0 && Number(step.stop) > 0) {
    throw new InvalidInputError('its decoder Strip takes from both ends of a text, which is not supported')
  }
  if (step.type === 'Replace' && patternOf(step) === undefined) {
    throw new InvalidInputError('its decoder Replace has a pattern other than a String, which is not supported')
  }
}

function patternOf(step: Step): string | undefined {
  const pattern = (step.pattern as { String?: unknown } | undefined)?.String
  return typeof pattern === 'string' ? pattern : undefined
}

/** Once texts are joined, a step that looks at several characters may change what was there before. */
function isIncremental(steps: readonly Step[]): boolean {
  const joined = steps.findIndex(({ type }) => JOINING.includes(String(type)))
  if (joined < 0) return true
  return steps.slice(joined + 1).every((step) => {
    if (step.type === 'Replace') return Array.from(patternOf(step)!).length === 1
    return step.type === 'Fuse' || step.type === 'Strip' || step.type === 'Metaspace'
  })
}

/** The decoder alone, from a tokenizer without a vocabulary. */
function load(decoder: unknown): Decoder {
  const tokenizer = { version: '1.0', added_tokens: [], decoder, model: { type: 'BPE', vocab: {}, merges: [] } }
  return tokenizersLibrary().Tokenizer.fromString(JSON.stringify(tokenizer)).getDecoder()!
}
