import { randomUUID } from 'node:crypto'
import type { LogProb, TokenLogProbs, Usage } from '@troupe/llm'
import { type ApiError, errorBody } from '../http/api-error.js'
import type { ServerEvent } from '../http/event-stream.js'

/** A new id, such as `chatcmpl-…`. */
export function newId(prefix: string): string {
  return `${prefix}${randomUUID().replaceAll('-', '')}`
}

/** Now, in seconds of Unix time. */
export function unixTime(): number {
  return Math.floor(Date.now() / 1000)
}

/** What a request has cost, as completions say it. */
export function usageBody({ promptTokens, cachedTokens, completionTokens }: Usage): object {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  }
}

/** Log-probabilities as chats have them. */
export function logProbsBody(logProbs: readonly TokenLogProbs[] | undefined): object | null {
  if (logProbs === undefined) return null
  return {
    content: logProbs.map((token) => ({ ...logProbBody(token), top_logprobs: token.top.map(logProbBody) })),
    refusal: null,
  }
}

function logProbBody({ text, bytes, logProb }: LogProb) {
  return { token: text, logprob: finite(logProb), bytes }
}

/** JSON has no infinities; OpenAI's API says -9999 of what cannot be. */
export function finite(logProb: number): number {
  return Math.max(logProb, -9999)
}

/** An error that comes after the first event of a stream. */
export function errorEvent(error: ApiError): ServerEvent {
  return { data: errorBody('openai', error) }
}

/** The last event of a stream. */
export const DONE: ServerEvent = { data: '[DONE]' }
