import { cleanUp, settledLength } from './clean-up.js'
import type { Vocabulary } from './vocabulary.js'

const UNFINISHED = /\uFFFD+$/

/**
 * Decodes tokens as they come. All that it gives out, put together, is the text of all tokens at once, behind that of
 * the prompt: what later tokens may still change (a character whose bytes are not all there, spaces that are tidied
 * away) is held back until it is settled, or until `end`.
 */
export class TextStream {
  readonly #vocabulary: Vocabulary
  readonly #tidy: Tidy | undefined
  /** Pieces from which new text is decoded; those before `#settled` are there because spaces depend on them. */
  #window: string[] = []
  #settled = 0
  /** How many characters of the window's text have been given out. */
  #given = 0

  /**
   * @internal
   * @param prompt Tokens before the stream's, whose text has been shown.
   */
  constructor(vocabulary: Vocabulary, prompt: readonly number[]) {
    this.#vocabulary = vocabulary
    this.#tidy = vocabulary.tidies ? new Tidy() : undefined
    this.#window = vocabulary.shownPieces(prompt)
    this.#take()
    this.#tidy?.drain()
  }

  /** The text that `token` completes, which may be empty. */
  push(token: number): string {
    const pieces = this.#vocabulary.shownPieces([token])
    if (pieces.length === 0) return ''
    this.#window.push(...pieces)
    const text = this.#take()
    return this.#tidy ? this.#tidy.push(text) : text
  }

  /** The rest of the text when no more tokens come, such as the mark of an unfinished character. */
  end(): string {
    const text = this.#vocabulary.decodePieces(this.#window).slice(this.#given)
    this.#given += text.length
    return this.#tidy ? this.#tidy.push(text) + this.#tidy.end() : text
  }

  /** The window's text that no further token can change, without what was given out before. */
  #take(): string {
    const { decoder } = this.#vocabulary
    const last = this.#window.at(-1)
    if (last === undefined || !decoder.isIncremental || decoder.isUnsettled(last)) return ''
    const whole = this.#vocabulary.decodePieces(this.#window)
    const text = whole.replace(UNFINISHED, '')
    const added = text.slice(this.#given)
    this.#given = Math.max(this.#given, text.length)
    if (text.length === whole.length) this.#moveOn()
    return added
  }

  /** Forgets pieces that nothing depends on: those before the last settled ones that have a text of their own. */
  #moveOn(): void {
    const context = this.#window.slice(this.#settled)
    const text = this.#vocabulary.decodePieces(context)
    if (text === '') return
    this.#window = context
    this.#settled = context.length
    this.#given = text.length
  }
}

/** Tidies spaces away from a text that comes in parts. */
class Tidy {
  #held = ''

  push(text: string): string {
    this.#held += text
    const length = settledLength(this.#held)
    const settled = this.#held.slice(0, length)
    this.#held = this.#held.slice(length)
    return cleanUp(settled)
  }

  end(): string {
    const rest = cleanUp(this.#held)
    this.#held = ''
    return rest
  }

  drain(): void {
    this.#held = ''
  }
}
