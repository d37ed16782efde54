import type { AssistantMessage, ToolCallDelta } from '../chat/messages.js'

/** Why an answer ended: an end token or a stop text, its length, or calls of tools that wait for their answers. */
export type FinishReason = 'stop' | 'length' | 'tool_calls'

/** A token and the natural logarithm of the probability that the model gave it, before sampling parameters. */
export interface LogProb {
  token: number
  /** The token's text; half a character is U+FFFD. */
  text: string
  /** The token's own bytes, which need not be whole characters. */
  bytes: readonly number[]
  logProb: number
}

/** The log-probability of a token of an answer, and of the likeliest in its place, the likeliest first. */
export interface TokenLogProbs extends LogProb {
  top: readonly LogProb[]
}

/** How many tokens a generation has cost so far. */
export interface Usage {
  promptTokens: number
  /** Tokens of the prompt that were found in the KV cache, and not computed. */
  cachedTokens: number
  /** Of all answers. */
  completionTokens: number
}

/** What is added to one of the answers. */
export interface GenerationChunk {
  /** The answer's number, from 0. */
  index: number
  text: string
  tokens: readonly number[]
  logProbs?: readonly TokenLogProbs[]
  /** With the answer's last chunk. */
  finishReason?: FinishReason
  /** With the answer's last chunk: which of the stop texts it ended before, if it did. */
  stopText?: string
}

/** An answer. */
export interface Choice {
  index: number
  text: string
  tokens: readonly number[]
  logProbs?: readonly TokenLogProbs[]
  finishReason: FinishReason
  /** Which of the stop texts it ended before, if it did. */
  stopText?: string
}

/** All answers to a prompt. */
export interface GenerationResult {
  choices: readonly Choice[]
  usage: Usage
}

/** What is added to one of the answers of a chat. */
export interface ChatChunk {
  index: number
  content?: string
  reasoning?: string
  toolCalls?: readonly ToolCallDelta[]
  tokens: readonly number[]
  logProbs?: readonly TokenLogProbs[]
  finishReason?: FinishReason
  /** With the answer's last chunk: which of the stop texts it ended before, if it did. */
  stopText?: string
}

/** An answer of a chat. */
export interface ChatChoice {
  index: number
  message: AssistantMessage
  logProbs?: readonly TokenLogProbs[]
  finishReason: FinishReason
  /** Which of the stop texts it ended before, if it did. */
  stopText?: string
}

/** All answers of a chat. */
export interface ChatResult {
  choices: readonly ChatChoice[]
  usage: Usage
}

/**
 * Answers in the making: awaited, all of them; looped over, what is added to them as it comes. Work begins at once; a loop
 * that ends early ends it. It can be read in one way only, once.
 */
export interface Stream<Chunk, Result> extends AsyncIterable<Chunk>, PromiseLike<Result> {
  /** So far; what the prompt takes is there with the first chunk. */
  readonly usage: Usage
  /** When the first token came, in milliseconds of `performance.now()`. */
  readonly firstTokenAt: number | undefined
}
