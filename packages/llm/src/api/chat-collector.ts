import type { AnswerDelta, AnswerParser } from '../chat/answer.js'
import type { TextPiece } from './answer-text.js'
import type { AnswerEnd } from './answers.js'
import type { ChatChoice, ChatChunk, FinishReason, TokenLogProbs } from './generation.js'

/** Makes the chunks of one answer of a chat, and the whole answer. */
export class ChatCollector {
  #tokens: number[] = []
  #newLogProbs: TokenLogProbs[] = []
  readonly #logProbs: TokenLogProbs[] = []
  #end: { finishReason: FinishReason; stopText?: string } = { finishReason: 'stop' }
  #hasLogProbs = false

  constructor(
    private readonly index: number,
    private readonly parser: AnswerParser,
    private readonly give: (chunk: ChatChunk) => void,
  ) {}

  add(piece: TextPiece): void {
    this.#keep(piece)
    const delta = this.parser.push(piece.text)
    if (Object.keys(delta).length > 0) this.give(this.#chunk(delta))
  }

  end(piece: TextPiece, end: AnswerEnd): void {
    this.#keep(piece)
    const deltas = [this.parser.push(piece.text), this.parser.end()].filter((delta) => Object.keys(delta).length > 0)
    for (const delta of deltas) this.give(this.#chunk(delta))
    const callsTools = end.finishReason === 'stop' && this.parser.message.toolCalls !== undefined
    this.#end = callsTools ? { ...end, finishReason: 'tool_calls' } : end
    this.give({ ...this.#chunk({}), ...this.#end })
  }

  /** The answer, when it has ended. */
  get choice(): ChatChoice {
    return {
      index: this.index,
      message: this.parser.message,
      ...(this.#hasLogProbs ? { logProbs: this.#logProbs } : {}),
      ...this.#end,
    }
  }

  #keep({ tokens, logProbs }: TextPiece): void {
    this.#tokens.push(...tokens)
    if (!logProbs) return
    this.#hasLogProbs = true
    this.#newLogProbs.push(...logProbs)
    this.#logProbs.push(...logProbs)
  }

  /** With the tokens since the last chunk. */
  #chunk(delta: AnswerDelta): ChatChunk {
    const chunk = {
      index: this.index,
      ...delta,
      tokens: this.#tokens,
      ...(this.#hasLogProbs ? { logProbs: this.#newLogProbs } : {}),
    }
    this.#tokens = []
    this.#newLogProbs = []
    return chunk
  }
}
