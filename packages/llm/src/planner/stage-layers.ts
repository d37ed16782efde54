import type { ModelConfig } from '../models/config.js'
import type { Range } from '../parallel/plan.js'
import { defaultDeployment, unmeasuredCluster } from './default-deployment.js'
import { FLOAT_BYTES, weightFormat } from './model-shape.js'

/** The sizes of a model that decide how long its layers take beside its head. */
export type LayersAndHead = Pick<
  ModelConfig,
  'layers' | 'hiddenSize' | 'intermediateSize' | 'heads' | 'keyValueHeads' | 'headSize' | 'vocabularySize'
>

/**
 * The layers of each pipeline stage on one machine: `counts` each if they are given, otherwise as equal in time as the layers
 * can be divided.
 * @throws InvalidInputError if the counts are not those of the stages and the model, or there are more stages than layers.
 */
export function stageLayers(model: LayersAndHead, stages: number, counts?: readonly number[]): Range[] {
  const format = weightFormat('F32')
  const shape = {
    ...model,
    ...{ tiedEmbeddings: false, slidingWindow: Number.POSITIVE_INFINITY, slidingLayers: 0 },
    ...{ attention: format, feedForward: format, embedding: format, head: format },
    ...{ activationBytes: FLOAT_BYTES, cacheBytes: FLOAT_BYTES },
  }
  const { replicas } = defaultDeployment(unmeasuredCluster([{ name: 'here', cpus: stages, memory: 0 }]), shape, {
    ...{ plan: { pipeline: stages, tensor: 1, sequence: 1 }, layers: counts },
    ...{ contextLength: 1, maxSequences: 1 },
  })
  return rangesOf(replicas[0]!.layers)
}

/** The layers of each stage, from how many each has. */
export function rangesOf(counts: readonly number[]): Range[] {
  let start = 0
  return counts.map((count) => {
    const range = { start, end: start + count }
    start = range.end
    return range
  })
}
