import type { Cluster } from '@troupe/core'
import type { EngineOptions } from '@troupe/llm'
import type { ServedModel } from '@troupe/serve'

/** A model that can be served, and ended. */
export interface LoadedModel extends ServedModel {
  stop(): Promise<void>
}

type Load = (model: string, options: Omit<EngineOptions, 'model'> & { cluster: Cluster }) => Promise<LoadedModel>

/** Loads a model onto a cluster, to be served. */
export async function loadServedModel(cluster: Cluster, { model, ...options }: EngineOptions): Promise<LoadedModel> {
  const { LLM } = (await import('@troupe/llm')) as unknown as { LLM: { load: Load } }
  return LLM.load(model, { ...options, cluster })
}
