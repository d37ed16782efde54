import { InvalidInputError } from '@troupe/core'
import type { Range } from './plan.js'

/** What a part of a model costs: time, in any unit, on a device of speed 1, and bytes of memory. */
export interface PartCost {
  time: number
  memory: number
}

/** What the parts of a model cost: the embedding on the first stage, the head on the last, and each layer. */
export interface ModelCosts {
  embedding: PartCost
  layers: readonly PartCost[]
  head: PartCost
}

/** What a pipeline stage runs on: its speed relative to others, and the bytes that it may hold. */
export interface StageDevice {
  speed: number
  memory: number
}

/**
 * Divides the layers of a model among pipeline stages, contiguous and at least one each, so that the slowest stage, which is
 * the pace of all, is as fast as possible, and every part fits its device. Dynamic programming over stages and layers
 * (PipeDream, arXiv 1806.03377, section 3.1, without replication).
 * @throws InvalidInputError if there are fewer layers than stages, or no division fits.
 */
export function divideLayers(costs: ModelCosts, devices: readonly StageDevice[]): Range[] {
  const count = costs.layers.length
  const stages = devices.length
  if (stages > count) throw new InvalidInputError(`${count} layers cannot be divided among ${stages} pipeline stages`)
  const before = {
    time: runningSum(costs.layers.map(({ time }) => time)),
    memory: runningSum(costs.layers.map(({ memory }) => memory)),
  }
  /** How long a stage takes for layers [start, end); infinite if they do not fit. */
  const timeOf = (stage: number, start: number, end: number) => {
    const { speed, memory } = devices[stage]!
    const ends = [...(stage === 0 ? [costs.embedding] : []), ...(stage === stages - 1 ? [costs.head] : [])]
    const total = (kind: keyof PartCost) =>
      before[kind][end]! - before[kind][start]! + ends.reduce((sum, cost) => sum + cost[kind], 0)
    return total('memory') > memory ? Number.POSITIVE_INFINITY : total('time') / speed
  }

  /** For the stages so far, by how many layers they have: the time of the slowest, and where the last of them starts. */
  let best = Array.from({ length: count + 1 }, (_, end) => ({ time: end > 0 ? timeOf(0, 0, end) : Infinity, start: 0 }))
  const steps = [best]
  for (let stage = 1; stage < stages; stage++) {
    const previous = best
    best = Array.from({ length: count + 1 }, (_, end) => {
      let found = { time: Number.POSITIVE_INFINITY, start: 0 }
      for (let start = stage; start < end; start++) {
        const time = Math.max(previous[start]!.time, timeOf(stage, start, end))
        if (time < found.time) found = { time, start }
      }
      return found
    })
    steps.push(best)
  }
  if (best[count]!.time === Number.POSITIVE_INFINITY) {
    throw new InvalidInputError(
      `the model's ${count} layers do not fit the memory of ${stages} pipeline stages; use more stages, or devices with more memory`,
    )
  }
  const ranges: Range[] = []
  for (let stage = stages - 1, end = count; stage >= 0; stage--) {
    const { start } = steps[stage]![end]!
    ranges.unshift({ start, end })
    end = start
  }
  return ranges
}

/** What of a model decides how long its parts take. */
export interface CostlyModel {
  layers: number
  hiddenSize: number
  intermediateSize: number
  heads: number
  keyValueHeads: number
  headSize: number
  vocabularySize: number
}

/** How much of the time of typical requests goes into decoding. */
const DECODE_SHARE = 1 / 2

/**
 * What a model's parts cost where requests are typical. Decoding takes as long as the weights of a part are large, since each
 * is read for every token; a prompt takes as long as there are multiplications for its tokens, and of these only the last
 * needs the head. The embedding is looked up in no time. Memory is in weights.
 */
export function costsOf(model: CostlyModel): ModelCosts {
  const { layers, hiddenSize, intermediateSize, heads, keyValueHeads, headSize, vocabularySize } = model
  const layer = hiddenSize * (2 * (heads + keyValueHeads) * headSize + 3 * intermediateSize)
  const head = hiddenSize * vocabularySize
  const prefill = (1 - DECODE_SHARE) / (layers * layer)
  const decode = DECODE_SHARE / (layers * layer + head)
  return {
    embedding: { time: 0, memory: head },
    layers: Array(layers).fill({ time: layer * (prefill + decode), memory: layer }),
    head: { time: head * decode, memory: head },
  }
}

/**
 * The layers of each pipeline stage: `counts` each if they are given, otherwise as equal in time as the layers can be divided.
 * @throws InvalidInputError if the counts are not those of the stages and the model.
 */
export function stageLayers(model: CostlyModel, stages: number, counts?: readonly number[]): Range[] {
  if (!counts) return divideLayers(costsOf(model), Array(stages).fill({ speed: 1, memory: Number.POSITIVE_INFINITY }))
  const total = counts.reduce((sum, count) => sum + count, 0)
  if (
    counts.length !== stages ||
    total !== model.layers ||
    !counts.every((count) => Number.isInteger(count) && count > 0)
  ) {
    throw new InvalidInputError(
      `layers must be ${stages} whole numbers above 0, one for each pipeline stage, that add up to the model's ${model.layers}; found [${counts.join(', ')}]`,
    )
  }
  const ends = runningSum(counts)
  return counts.map((_, stage) => ({ start: ends[stage]!, end: ends[stage + 1]! }))
}

/** 0, then the sum of the first value, of the first two, and so on. */
function runningSum(values: readonly number[]): number[] {
  const sums = [0]
  for (const value of values) sums.push(sums.at(-1)! + value)
  return sums
}
