import type { StepShape } from './layer-cost.js'
import type { ModelShape } from './model-shape.js'

/** The work that a plan is chosen for: so many requests at a time, each of so many tokens. */
export interface Workload {
  promptTokens: number
  outputTokens: number
  /** Tokens that the cache has room for in each request; those of prompt and answer by default. */
  reservedTokens?: number
  /** Requests in progress at a time. */
  concurrency: number
  /** Prompt tokens that a step takes; by default as many as the engine gives it under a plan. */
  chunkTokens?: number
  /** Tokens at the start of a prompt whose keys and values are cached already. */
  cachedTokens: number
  objective: Objective
}

/** Whether an answer is to be complete soon, or many answers are to come in a given time. */
export type Objective = 'latency' | 'throughput'

/** A prompt's chunks: the first, and the average of the others. */
export interface Chunks {
  count: number
  first: StepShape
  rest: StepShape
}

export function chunksOf({ promptTokens, cachedTokens }: Workload, chunkTokens: number): Chunks {
  const fresh = promptTokens - cachedTokens
  const size = Math.min(chunkTokens, fresh)
  const count = Math.ceil(fresh / size)
  const first = chunk(size, cachedTokens)
  if (count === 1) return { count, first, rest: first }
  const tokens = (fresh - size) / (count - 1)
  // Where the average of them starts; their work grows evenly with that.
  return { count, first, rest: chunk(tokens, (cachedTokens + size + promptTokens - tokens) / 2) }
}

function chunk(tokens: number, past: number): StepShape {
  return {
    tokens,
    outputs: 0,
    pairs: tokens * past + (tokens * (tokens + 1)) / 2,
    cached: past + tokens,
    isPrefill: true,
  }
}

/** A step that decodes one token of each of `sequences`, halfway through their answers. */
export function decodeStep(workload: Workload, sequences: number): StepShape {
  const context = workload.promptTokens + workload.outputTokens / 2
  const cached = sequences * context
  return { tokens: sequences, outputs: sequences, pairs: cached, cached, isPrefill: false }
}

/** A prompt's last token, which the answer's first is drawn after. */
export const LAST_TOKEN: StepShape = { tokens: 1, outputs: 1, pairs: 1, cached: 1, isPrefill: true }

/** A layer's mean over those that attend to everything and those that attend to a window. */
export function overLayers<T>(
  model: ModelShape,
  cost: (window: number) => T,
  mean: (a: T, b: T, share: number) => T,
): T {
  const full = cost(Number.POSITIVE_INFINITY)
  if (model.slidingLayers === 0) return full
  return mean(full, cost(model.slidingWindow), model.slidingLayers / model.layers)
}
