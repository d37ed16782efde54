import { InvalidInputError } from '@troupe/core'
import {
  type ChatChunk,
  type ChatMessage,
  type ChatParams,
  type ChatResult,
  ContextLengthError,
  type EngineLoad,
  type FinishReason,
  type GenerationChunk,
  type GenerationParams,
  type GenerationResult,
  type TokenLogProbs,
  type ToolCall,
} from '@troupe/llm'
import type { ServedModel } from '../model.js'
import { ScriptedStream } from './scripted-stream.js'

/** What the model says to a chat. */
export interface Answer {
  content?: string
  reasoning?: string
  toolCalls?: readonly ToolCall[]
}

/** A chat that the model was asked to continue. */
export interface Asked {
  messages: readonly ChatMessage[]
  params: ChatParams
}

/** The text of a message. */
export function textOf({ content }: ChatMessage): string {
  return typeof content === 'string' ? content : (content ?? []).map(({ text }) => text).join('')
}

/** A model whose tokens are the bytes of UTF-8 and which says what its script says, a word at a time. */
export class ScriptedModel implements ServedModel {
  readonly name = 'scripted'
  readonly contextLength = 2000
  readonly tokenizer = {
    encode: async (text: string) => [...Buffer.from(text)],
    decode: (tokens: readonly number[]) => Buffer.from(tokens).toString(),
  }

  /** The chats and the texts that it was asked to continue. */
  readonly chats: Asked[] = []
  readonly prompts: { prompt: string | readonly number[]; params: GenerationParams }[] = []
  /** How many generations are under way, and how many were aborted. */
  active = 0
  aborted = 0

  get load(): EngineLoad {
    const counted = { steps: 0, queriedTokens: 0, cachedTokens: 0, preemptions: 0, restarts: 0 }
    return { running: this.active, waiting: 0, blocks: 100, blocksUsed: 25 * this.active, ...counted }
  }

  /** What is said to a chat. By default what its last message says. */
  answer: (asked: Asked) => Answer = ({ messages }) => ({ content: `You said: ${textOf(messages.at(-1)!)}` })
  /** What a text goes on with. */
  continuation = ' and so on, and so on.'
  /** Is waited for before each piece, which is counted from 0; may throw. */
  pause: (piece: number) => Promise<void> | undefined = () => undefined

  generate(prompt: string | readonly number[], params: GenerationParams = {}) {
    this.prompts.push({ prompt, params })
    const tokens = typeof prompt === 'string' ? [...Buffer.from(prompt)] : prompt
    const pieces = cut(words(this.continuation), params)
    const chunks = pieces.map(({ text, finishReason }) => ({ text, ...this.#common(text, params, finishReason) }))
    return this.#stream<GenerationChunk, GenerationResult>(tokens, params, chunks, (usage) => ({
      choices: [...Array(params.n ?? 1).keys()].map((index) => ({
        index,
        text: chunks.map(({ text }) => text).join(''),
        ...collected(chunks),
      })),
      usage,
    }))
  }

  chat(messages: readonly ChatMessage[], params: ChatParams = {}) {
    this.chats.push({ messages, params })
    const { content, reasoning, toolCalls } = this.answer({ messages, params })
    const pieces: Omit<ChatChunk, 'index'>[] = words(reasoning ?? '').map((text) => ({
      reasoning: text,
      ...this.#common(text, params),
    }))
    for (const [index, call] of (toolCalls ?? []).entries()) {
      const { id, name, arguments: given } = call
      const half = given.length / 2
      pieces.push({ toolCalls: [{ index, id, name }], ...this.#common(name, params) })
      for (const part of [given.slice(0, half), given.slice(half)]) {
        pieces.push({ toolCalls: [{ index, arguments: part }], ...this.#common(part, params) })
      }
    }
    const said = cut(words(content ?? ''), params)
    for (const { text } of said) pieces.push({ content: text, ...this.#common(text, params) })
    const finishReason = toolCalls ? 'tool_calls' : (said.at(-1)?.finishReason ?? 'stop')
    const { stopText } = said.at(-1) ?? {}
    pieces.push({ tokens: [], finishReason, ...(stopText ? { stopText } : {}) })
    const text = content === undefined ? null : said.map((piece) => piece.text).join('')
    return this.#stream<ChatChunk, ChatResult>(promptOf(messages), params, pieces, (usage) => ({
      choices: [...Array(params.n ?? 1).keys()].map((index) => ({
        index,
        message: {
          role: 'assistant',
          content: text,
          ...(reasoning === undefined ? {} : { reasoning }),
          ...(toolCalls === undefined ? {} : { toolCalls }),
        },
        ...collected(pieces),
      })),
      usage,
    }))
  }

  async chatPrompt(messages: readonly ChatMessage[]) {
    const tokens = promptOf(messages)
    return { text: this.tokenizer.decode(tokens), tokens }
  }

  async embed(texts: readonly (string | readonly number[])[]) {
    const tokens = texts.map((text) => (typeof text === 'string' ? [...Buffer.from(text)] : text))
    for (const list of tokens) this.#check(list, {})
    return {
      embeddings: tokens.map((list) => Float32Array.of(list.length, list[0]!, 0.1, -1)),
      usage: { promptTokens: tokens.flat().length },
    }
  }

  #stream<Chunk extends { index: number; tokens: readonly number[] }, Result>(
    prompt: readonly number[],
    params: ChatParams,
    pieces: readonly Omit<Chunk, 'index'>[],
    resultOf: (usage: ScriptedStream<Chunk, Result>['usage']) => Result,
  ): ScriptedStream<Chunk, Result> {
    this.#check(prompt, params)
    this.active++
    return new ScriptedStream<Chunk, Result>({
      promptTokens: prompt.length,
      chunks: pieces.flatMap((piece) => {
        return [...Array(params.n ?? 1).keys()].map((index) => ({ ...piece, index }) as unknown as Chunk)
      }),
      pause: (piece) => this.pause(piece),
      signal: params.signal,
      resultOf,
      onEnd: (wasAborted) => {
        this.active--
        if (wasAborted) this.aborted++
      },
    })
  }

  #check(prompt: readonly number[], { temperature = 1, structure }: ChatParams): void {
    if (prompt.length === 0) throw new InvalidInputError('the prompt is empty; give at least one token')
    if (prompt.length >= this.contextLength) {
      throw new ContextLengthError(
        `the prompt has ${prompt.length} tokens, but the context holds ${this.contextLength}; shorten it`,
      )
    }
    if (prompt.some((token) => token > 255)) throw new InvalidInputError('a token is not in the vocabulary')
    if (!Number.isFinite(Math.fround(temperature))) throw new InvalidInputError('temperature must be a number')
    if (
      structure?.type === 'json_schema' &&
      typeof structure.schema === 'object' &&
      structure.schema.type === 'banana'
    ) {
      throw new InvalidInputError('the schema cannot be used: no type "banana"')
    }
  }

  readonly #known = new Map<string, readonly number[]>()

  /** A script may say the same long word thousands of times. */
  #tokensOf(text: string): readonly number[] {
    const tokens = this.#known.get(text) ?? [...Buffer.from(text)]
    this.#known.set(text, tokens)
    return tokens
  }

  #common(text: string, { logProbs }: GenerationParams, finishReason?: FinishReason) {
    return {
      tokens: this.#tokensOf(text),
      ...(logProbs === undefined ? {} : { logProbs: [logProbsOf(text, logProbs)] }),
      ...(finishReason === undefined ? {} : { finishReason }),
    }
  }
}

function promptOf(messages: readonly ChatMessage[]): number[] {
  return [...Buffer.from(messages.map((message) => `${message.role}: ${textOf(message)}\n`).join(''))]
}

/** A text's words, each with the space before it. */
function words(text: string): string[] {
  return text.match(/\s*\S+|\s+$/g) ?? []
}

/** The words that come before a stop text, and the most tokens; a token is a word here. */
function cut(texts: readonly string[], { maxTokens = Number.POSITIVE_INFINITY, stop = [] }: GenerationParams) {
  const stops = typeof stop === 'string' ? [stop] : stop
  const said: { text: string; finishReason?: FinishReason; stopText?: string }[] = []
  let stopText: string | undefined
  for (const text of texts) {
    stopText = stops.find((word) => text.includes(word))
    if (stopText !== undefined) break
    if (said.length >= maxTokens) {
      said.at(-1)!.finishReason = 'length'
      return said
    }
    said.push({ text })
  }
  if (said.length > 0) Object.assign(said.at(-1)!, { finishReason: 'stop', ...(stopText ? { stopText } : {}) })
  return said
}

function collected(chunks: readonly Omit<ChatChunk, 'index'>[]) {
  const logProbs = chunks.flatMap((chunk) => chunk.logProbs ?? [])
  return {
    tokens: chunks.flatMap(({ tokens }) => tokens),
    ...(logProbs.length === 0 ? {} : { logProbs }),
    finishReason: chunks.at(-1)?.finishReason ?? ('stop' as const),
    ...(chunks.at(-1)?.stopText === undefined ? {} : { stopText: chunks.at(-1)!.stopText! }),
  }
}

function logProbsOf(text: string, count: number): TokenLogProbs {
  const own = { token: 0, text, bytes: [...Buffer.from(text)], logProb: -0.5 }
  const others = [...Array(Math.max(count - 1, 0)).keys()].map((rank) => {
    return { token: rank + 1, text: `${rank}`, bytes: [48 + rank], logProb: -2 - rank }
  })
  return { ...own, top: [own, ...others].slice(0, count) }
}
