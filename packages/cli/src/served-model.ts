import type { Cluster } from '@troupe/core'
import type { EngineOptions, LLM } from '@troupe/llm'

/** Loads a model onto a cluster, to be served. */
export async function loadServedModel(cluster: Cluster, { model, ...options }: EngineOptions): Promise<LLM> {
  const { LLM } = await import('@troupe/llm')
  return LLM.load(model, { ...options, cluster })
}
