import type { FinishReason, Usage } from '@troupe/llm'

/** Why an answer ended, in Anthropic's words. */
export function stopBody({ finishReason, stopText }: { finishReason?: FinishReason; stopText?: string }): object {
  if (stopText !== undefined) return { stop_reason: 'stop_sequence', stop_sequence: stopText }
  const reasons = { stop: 'end_turn', length: 'max_tokens', tool_calls: 'tool_use' }
  return { stop_reason: reasons[finishReason ?? 'stop'], stop_sequence: null }
}

/** What a request has cost; tokens that were found in the cache are counted apart. */
export function usageBody({ promptTokens, cachedTokens, completionTokens }: Usage): object {
  return {
    input_tokens: promptTokens - cachedTokens,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cachedTokens,
    output_tokens: completionTokens,
  }
}
