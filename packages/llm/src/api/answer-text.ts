import type { Tokenizer } from '../tokenizer/tokenizer.js'
import type { LogProb, TokenLogProbs } from './generation.js'
import { StopTexts } from './stop-texts.js'

/** A token with what the engine tells of it. */
export interface ReportedToken {
  token: number
  logProb?: number
  top?: readonly { token: number; logProb: number }[]
}

/** What is added to an answer. */
export interface TextPiece {
  text: string
  tokens: readonly number[]
  logProbs?: readonly TokenLogProbs[]
}

/** Turns the tokens of an answer into its text as they come, to the text that ends it. */
export class AnswerText {
  readonly #stops: StopTexts
  readonly #decoder: ReturnType<Tokenizer['stream']>
  /** Tokens whose text has not been given out, with where in the answer it begins. */
  #waiting: { token: ReportedToken; start: number }[] = []
  #decoded = 0
  #given = 0

  /** @param shown special tokens whose text is seen */
  constructor(
    private readonly tokenizer: Tokenizer,
    prompt: readonly number[],
    stops: readonly string[],
    shown: readonly string[],
  ) {
    this.#decoder = tokenizer.stream(prompt, shown)
    this.#stops = new StopTexts(stops)
  }

  /** The stop text that has come. */
  get stopText(): string | undefined {
    return this.#stops.found
  }

  /** Whether a stop text has come. */
  get isStopped(): boolean {
    return this.#stops.isStopped
  }

  /** What is settled with this token, if that is any text. */
  push(token: ReportedToken): TextPiece | undefined {
    this.#waiting.push({ token, start: this.#decoded })
    const decoded = this.#decoder.push(token.token)
    this.#decoded += decoded.length
    const text = this.#stops.push(decoded)
    return text === '' ? undefined : this.#piece(text)
  }

  /** The rest, with the tokens that are left. */
  end(): TextPiece {
    const decoded = this.isStopped ? '' : this.#decoder.end()
    return this.#piece(this.#stops.push(decoded) + this.#stops.end())
  }

  /** Tokens of a stop text are not part of the answer. */
  #piece(text: string): TextPiece {
    this.#given += text.length
    const tokens = this.#waiting.filter(({ start }) => !this.isStopped || start < this.#given).map(({ token }) => token)
    this.#waiting = []
    const hasLogProbs = tokens.some(({ logProb }) => logProb !== undefined)
    return {
      text,
      tokens: tokens.map(({ token }) => token),
      ...(hasLogProbs ? { logProbs: tokens.map((token) => this.#logProbs(token)) } : {}),
    }
  }

  #logProbs({ token, logProb = Number.NEGATIVE_INFINITY, top = [] }: ReportedToken): TokenLogProbs {
    const described = (id: number, value: number): LogProb => {
      const bytes = this.tokenizer.bytesOf(id)
      return { token: id, text: new TextDecoder().decode(bytes), bytes: Array.from(bytes), logProb: value }
    }
    return { ...described(token, logProb), top: top.map((one) => described(one.token, one.logProb)) }
  }
}
