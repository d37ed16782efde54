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

  /** The bytes of a token behind others; undefined of special ones and those that the vocabulary does not have. */
  bytesOf(token: number): Uint8Array | undefined {
    const piece = this.pieces.get(token)
    return piece === undefined || this.special.has(piece) ? undefined : this.decoder.bytesOf(piece)
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
