import { existsSync } from 'node:fs'
import type { Cluster } from '@troupe/core'
import { type EngineOptions, LLM } from '@troupe/llm'
import { modelPath } from './model.js'
import { withLoadProgress } from './progress.js'

/** Loads a model onto a cluster, to be served; how far that is, is shown on standard error. */
export async function loadServedModel(cluster: Cluster, { model, ...options }: EngineOptions): Promise<LLM> {
  const path = await modelPath(model)
  return withLoadProgress(process.stderr, (progress) =>
    LLM.load(path, { ...options, ...progress, cluster, ...(existsSync(model) ? {} : { name: model }) }),
  )
}
