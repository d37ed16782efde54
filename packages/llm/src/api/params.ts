import type { JsonSchema, Tool, ToolChoice } from '../chat/messages.js'

/** What a text is held to: JSON of any shape, JSON of a schema, a regular expression over all of it, or a grammar in EBNF. */
export type Structure =
  | { type: 'json' }
  | { type: 'json_schema'; schema: JsonSchema }
  | { type: 'regex'; pattern: string }
  | { type: 'grammar'; ebnf: string }

/** How a text is continued. What is left out is as the model's generation_config.json says, or as told here. */
export interface GenerationParams {
  /** The most tokens to generate; by default what the context has room for. */
  maxTokens?: number
  /** Tokens before which the text does not end. Default 0. */
  minTokens?: number
  /** 0 takes the likeliest token; above 0, logits are divided by it before the draw. Default 1. */
  temperature?: number
  /** Draw only from this many likeliest tokens; 0 for all. Default 0. */
  topK?: number
  /** Draw only from the likeliest tokens that together reach this probability (arXiv 1904.09751). Default 1. */
  topP?: number
  /** Draw only from tokens that are at least this share as likely as the likeliest (arXiv 2407.01082). Default 0. */
  minP?: number
  /**
   * Divides positive logits of tokens of the prompt and the answer, and multiplies negative ones (arXiv 1909.05858).
   * Above 0, at most 100, default 1.
   */
  repetitionPenalty?: number
  /** Taken from the logits of tokens that the answer has, once. From -2 to 2, default 0. */
  presencePenalty?: number
  /** Taken from the logits of tokens that the answer has, each time. From -2 to 2, default 0. */
  frequencyPenalty?: number
  /** Added to the logits of tokens, by their ids; 1,000 at most. From -100 to 100. */
  logitBias?: Readonly<Record<number, number>>
  /** Decides every draw: the same text whatever else runs, under every plan. Random by default. */
  seed?: number
  /** Texts before which the answer ends; they are not part of it. */
  stop?: string | readonly string[]
  /** Tokens at which the answer ends, beside the model's end tokens, 16 at most; they are not part of it. */
  stopTokens?: readonly number[]
  /** Whether to go on behind the model's end tokens. Default false. */
  ignoreEnd?: boolean
  /** Gives the log-probability of each token, and of this many likeliest ones in its place, up to 20. */
  logProbs?: number
  /** Answers to the same prompt. Default 1. */
  n?: number
  /** What the text is held to. */
  structure?: Structure
  /** Ends the generation, which then fails with the signal's reason. */
  signal?: AbortSignal
}

/** How a chat is answered. */
export interface ChatParams extends GenerationParams {
  /** Tools that the model may call. */
  tools?: readonly Tool[]
  /** Default `auto`, or `none` without tools. With `none`, the model does not hear of the tools. */
  toolChoice?: ToolChoice
  /** Whether an answer that has to call tools may have several calls. Default true. */
  parallelToolCalls?: boolean
  /** Further variables of the model's chat template, such as `enable_thinking`, `date_string` or `documents`. */
  templateVariables?: Readonly<Record<string, unknown>>
  /** Whether the last message is continued, rather than answered. Default false. */
  continueLast?: boolean
}
