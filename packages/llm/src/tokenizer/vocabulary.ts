import { cleanUp } from './clean-up.js'
import type { TextDecoder } from './text-decoder.js'

/** Turns tokens into text: what each of them says, and how that is joined. */
export class Vocabulary {
  constructor(
    private readonly pieces: ReadonlyMap<number, string>,
    /** Pieces that no text shows. */
    private readonly special: ReadonlySet<string>,
    readonly decoder: TextDecoder,
    /** Whether spaces before punctuation are taken away from whole texts. */
    readonly tidies: boolean,
  ) {}

  /** The same with the special pieces of these texts shown. */
  showing(texts: readonly string[]): Vocabulary {
    if (texts.length === 0) return this
    const hidden = new Set(this.special)
    for (const text of texts) hidden.delete(text)
    return new Vocabulary(this.pieces, hidden, this.decoder, this.tidies)
  }

  /** What a token says inside a text, special or not, as bytes. */
  bytesOf(token: number): Uint8Array {
    const piece = this.pieces.get(token)
    return piece === undefined ? new Uint8Array() : this.decoder.bytesOf(piece)
  }

  /** The text of tokens, without special ones and those that the vocabulary does not have. */
  shownPieces(tokens: readonly number[]): string[] {
    return tokens.flatMap((token) => {
      const piece = this.pieces.get(token)
      return piece === undefined || this.special.has(piece) ? [] : [piece]
    })
  }

  /** One more than the largest token. */
  get size(): number {
    return [...this.pieces.keys()].reduce((most, token) => Math.max(most, token + 1), 0)
  }

  /** Whether the texts of tokens show it: special ones and unknown ones are left out. */
  isShown(token: number): boolean {
    const piece = this.pieces.get(token)
    return piece !== undefined && !this.special.has(piece)
  }

  /** The text of pieces, before spaces are tidied. */
  decodePieces(pieces: string[]): string {
    return this.decoder.decode(pieces)
  }

  /** The text of tokens. */
  decode(tokens: readonly number[]): string {
    const text = this.decodePieces(this.shownPieces(tokens))
    return this.tidies ? cleanUp(text) : text
  }
}
