import { setMaxListeners } from 'node:events'
import { InvalidInputError } from '@troupe/core'
import type { Engine } from '../engine/engine.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { AnswerText, type ReportedToken, type TextPiece } from './answer-text.js'
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

/** Makes what holds one answer to a structure. */
export type MaskFactory = (structure: Structure) => Promise<unknown>

/** Where answers go, and what they cost. */
export interface AnswerSink {
  readonly usage: Usage
  readonly signal: AbortSignal
  add(index: number, piece: TextPiece): void
  /** The last of an answer. */
  end(index: number, piece: TextPiece, reason: Exclude<FinishReason, 'tool_calls'>): void
}

/** Has an engine answer a prompt as often as asked for; when one answer fails, all do. */
export class Answers {
  constructor(
    private readonly engine: Engine,
    private readonly tokenizer: Tokenizer,
    private readonly createMask: MaskFactory | undefined,
  ) {}

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
    const { stop = [], stopTokens = [] } = params
    // A prompt that leaves no room is the engine's to refuse.
    const room = Math.max(1, this.engine.contextLength - prompt.length)
    const mask = structure && (await this.#mask(structure))
    const options = engineOptionsOf(params, index, room, mask)
    signal.throwIfAborted()
    const text = new AnswerText(this.tokenizer, prompt, typeof stop === 'string' ? [stop] : stop, shown)
    const tokens = this.engine.generate(prompt, options)
    const leave = () => void tokens.return()
    signal.addEventListener('abort', leave)
    let count = 0
    let isStopped = false
    try {
      for await (const reported of tokens) {
        if (index === 0) sink.usage.cachedTokens = cachedTokensOf(tokens)
        count++
        sink.usage.completionTokens++
        isStopped = stopTokens.includes(reported.token)
        const piece = isStopped ? undefined : text.push(reported as ReportedToken)
        isStopped ||= text.isStopped
        if (piece) sink.add(index, piece)
        if (isStopped) break
      }
    } finally {
      signal.removeEventListener('abort', leave)
    }
    signal.throwIfAborted()
    const reason = isStopped ? 'stop' : finishReasonOf(tokens, count, options.maxTokens)
    sink.end(index, text.end(), reason)
  }

  #mask(structure: Structure): Promise<unknown> {
    if (this.createMask) return this.createMask(structure)
    throw new InvalidInputError('structure is not supported here; leave it out')
  }
}

interface EngineReport {
  finishReason?: 'stop' | 'length'
  cachedTokens?: number
}

function cachedTokensOf(tokens: object): number {
  return (tokens as EngineReport).cachedTokens ?? 0
}

/** As the engine says, or by the number of tokens: a text that ends has fewer than it may. */
function finishReasonOf(tokens: object, count: number, most: number): 'stop' | 'length' {
  return (tokens as EngineReport).finishReason ?? (count < most ? 'stop' : 'length')
}
