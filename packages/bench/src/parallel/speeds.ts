import type { Cluster } from '@troupe/core'
import { Engine, type EngineOptions } from '@troupe/llm'

/** Tokens a second. */
export interface Speeds {
  prefill: number
  decode: number
}

/** Starts an engine that computes every prompt whole, also one that it has had before. */
export function startUncached(cluster: Cluster, options: EngineOptions): Promise<Engine> {
  return Engine.start(cluster, { ...options, prefixCaching: false })
}

/**
 * The speeds at which an engine takes a prompt of `prefill` tokens and then generates `decode`; with a single one, no
 * decode.
 */
export async function speedsOf(engine: Engine, prefill: number, decode: number): Promise<Speeds> {
  const prompt = Array.from({ length: prefill }, (_, i) => (1 + i * 7919) % engine.config.vocabularySize)
  const started = performance.now()
  let first = started
  for await (const _ of engine.generate(prompt, { maxTokens: decode, stopAtEnd: false })) {
    if (first === started) first = performance.now()
  }
  const ended = performance.now()
  return { prefill: (prefill * 1000) / (first - started), decode: ((decode - 1) * 1000) / (ended - first) }
}
