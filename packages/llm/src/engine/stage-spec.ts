import { readConfig } from '../models/config.js'
import { DEFAULT_CACHE_TYPE } from '../planner/model-shape.js'
import { stageLayers } from '../planner/stage-layers.js'
import type { LoadFormat } from '../weights/quantize.js'
import type { WorkerSpec } from './worker.js'

/**
 * The spec of a worker of one of several pipeline stages, for callers that put stages together by themselves and work
 * on one text at a time.
 * @param limits The most tokens of a step, and of the text.
 */
export function stageSpec(
  model: string,
  { stage = 0, stages = 1 }: { stage?: number; stages?: number },
  limits: { tokens: number; contextLength: number },
  loadFormat?: LoadFormat,
): WorkerSpec {
  const { tokens, contextLength } = limits
  const blockTokens = 16
  const cacheBlocks = Math.ceil(contextLength / blockTokens)
  const steps = { tokens, queries: tokens, sequences: 1, outputs: tokens, allOutputs: tokens, feedbackSteps: 1 }
  return {
    model,
    ...(loadFormat ? { loadFormat } : {}),
    communication: 'float32',
    device: 'cpu',
    plan: { pipeline: stages, tensor: 1, sequence: 1 },
    coordinates: { pipeline: stage, tensor: 0, sequence: 0 },
    layers: stageLayers(readConfig(model), stages)[stage]!,
    threads: 1,
    spin: false,
    cacheType: DEFAULT_CACHE_TYPE,
    cacheBlocks,
    blockTokens,
    limits: { ...steps, blocksPerSequence: cacheBlocks },
  }
}
