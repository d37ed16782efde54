import { InvalidInputError } from '@troupe/core'
import type { ModelConfig } from '../models/config.js'
import type { Range } from '../parallel/plan.js'
import { balance, type StageLoad } from './divide-layers.js'

/** What of a model decides how long its layers take beside its head. */
export type LayersAndHead = Pick<
  ModelConfig,
  'layers' | 'hiddenSize' | 'intermediateSize' | 'heads' | 'keyValueHeads' | 'headSize' | 'vocabularySize'
>

/** How much of the time of typical requests goes into decoding. */
const DECODE_SHARE = 1 / 2

/**
 * The layers of each pipeline stage: `counts` each if they are given, otherwise as equal in time as the layers can be divided.
 * @throws InvalidInputError if the counts are not those of the stages and the model, or there are more stages than layers.
 */
export function stageLayers(model: LayersAndHead, stages: number, counts?: readonly number[]): Range[] {
  return ranges(counts ? checked(counts, model.layers, stages) : divided(model, stages))
}

/** Layers of stages that take equally long on devices that are alike. */
function divided(model: LayersAndHead, stages: number): number[] {
  const counts = balance(model.layers, stageLoads(model, stages))
  if (counts) return counts
  throw new InvalidInputError(`${model.layers} layers cannot be divided among ${stages} pipeline stages`)
}

/**
 * What stages cost where requests are typical. Decoding takes as long as the weights of a part are large, since each is read
 * for every token; a prompt takes as long as there are multiplications for its tokens, and of these only the last needs the
 * head. The embedding is looked up in no time.
 */
function stageLoads(model: LayersAndHead, stages: number): StageLoad[] {
  const { layers, hiddenSize, intermediateSize, heads, keyValueHeads, headSize, vocabularySize } = model
  const layer = hiddenSize * (2 * (heads + keyValueHeads) * headSize + 3 * intermediateSize)
  const head = hiddenSize * vocabularySize
  const prefill = (1 - DECODE_SHARE) / (layers * layer)
  const decode = DECODE_SHARE / (layers * layer + head)
  return Array.from({ length: stages }, (_, stage) => ({
    perLayer: layer * (prefill + decode),
    extra: stage === stages - 1 ? head * decode : 0,
    most: Number.POSITIVE_INFINITY,
  }))
}

function checked(counts: readonly number[], layers: number, stages: number): readonly number[] {
  const total = counts.reduce((sum, count) => sum + count, 0)
  const areWhole = counts.every((count) => Number.isInteger(count) && count > 0)
  if (counts.length === stages && total === layers && areWhole) return counts
  throw new InvalidInputError(
    `layers must be ${stages} whole numbers above 0, one for each pipeline stage, that add up to the model's ${layers}; found [${counts.join(', ')}]`,
  )
}

function ranges(counts: readonly number[]): Range[] {
  let start = 0
  return counts.map((count) => {
    const range = { start, end: start + count }
    start = range.end
    return range
  })
}
