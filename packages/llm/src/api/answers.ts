import { setMaxListeners } from 'node:events'
import type { Engine } from '../engine/engine.js'
import type { MaskVocabulary } from '../grammar/mask-vocabulary.js'
import { tokenMask } from '../grammar/token-mask.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { AnswerText, type TextPiece } from './answer-text.js'
import { engineOptionsOf } from './engine-options.js'
import type { FinishReason, Usage } from './generation.js'
import type { GenerationParams, Structure } from './params.js'

/** A prompt and how it is to be continued. */
export interface AnswerRequest {
  prompt: readonly number[]
  params: GenerationParams
  /** Special tokens whose text is part of the answer. */
  shown: readonly string[]
  structure?: Structure | undefined
}

/** Why an answer ended, and the stop text that ended it if one did. */
export interface AnswerEnd {
  finishReason: Exclude<FinishReason, 'tool_calls'>
  stopText?: string
}

/** Where answers go, and what they cost. */
export interface AnswerSink {
  readonly usage: Usage
  /** A token has come. */
  count(): void
  readonly signal: AbortSignal
  add(index: number, piece: TextPiece): void
  /** The last of an answer. */
  end(index: number, piece: TextPiece, end: AnswerEnd): void
}

/** Has an engine answer a prompt as often as asked for; when one answer fails, all do. */
export class Answers {
  /** The same object for all structures, which are kept by it. */
  readonly #vocabulary: MaskVocabulary

  constructor(
    private readonly engine: Engine,
    private readonly tokenizer: Tokenizer,
  ) {
    const { vocabularySize, endTokens } = engine.config
    this.#vocabulary = { size: vocabularySize, endTokens, tokenBytes: (token) => tokenizer.tokenBytes(token) }
  }

  async run(request: AnswerRequest, sink: AnswerSink): Promise<void> {
    sink.usage.promptTokens = request.prompt.length
    const failed = new AbortController()
    const signal = AbortSignal.any([sink.signal, failed.signal])
    // Each answer listens.
    setMaxListeners(0, signal)
    try {
      await Promise.all(
        Array.from({ length: request.params.n ?? 1 }, (_, index) => this.#one(request, index, sink, signal)),
      )
    } finally {
      failed.abort()
    }
  }

  async #one(request: AnswerRequest, index: number, sink: AnswerSink, signal: AbortSignal): Promise<void> {
    const { prompt, params, shown, structure } = request
    const { stop = [] } = params
    // A prompt that leaves no room is the engine's to refuse.
    const room = Math.max(1, this.engine.contextLength - prompt.length)
    const mask = structure && (await tokenMask(structure, this.#vocabulary))
    try {
      const options = engineOptionsOf(params, index, room, mask)
      signal.throwIfAborted()
      const text = new AnswerText(this.tokenizer, prompt, typeof stop === 'string' ? [stop] : stop, shown)
      const tokens = this.engine.generate(prompt, options)
      const leave = () => void tokens.return()
      signal.addEventListener('abort', leave)
      try {
        for await (const token of tokens) {
          if (index === 0) sink.usage.cachedTokens = tokens.cachedTokens
          sink.count()
          const piece = text.push(token)
          if (piece) sink.add(index, piece)
          if (text.isStopped) break
        }
      } finally {
        signal.removeEventListener('abort', leave)
      }
      signal.throwIfAborted()
      const { stopText } = text
      const end =
        stopText === undefined ? { finishReason: tokens.finishReason! } : { finishReason: 'stop' as const, stopText }
      sink.end(index, text.end(), end)
    } finally {
      mask?.dispose()
    }
  }
}
