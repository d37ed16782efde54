import { InvalidInputError } from '@troupe/core'

/** How a model is split over workers: the size of each dimension of their mesh. */
export interface ParallelPlan {
  /** Stages: contiguous layers each. */
  pipeline: number
  /** Shards: some of the heads, feed-forward columns and vocabulary rows each. */
  tensor: number
  /** Chunks: some of the tokens and their keys and values each. */
  sequence: number
}

/** @deprecated The former name of {@link ParallelPlan}. */
export type Plan = ParallelPlan

/** A half-open range of whole numbers. */
export interface Range {
  start: number
  end: number
}

export function length(range: Range): number {
  return range.end - range.start
}

/**
 * Part `index` of `count` things divided into `parts` contiguous parts whose sizes differ by at most one. Where every part
 * can have one, parts are made of whole blocks of `block` things instead, and differ by at most one block.
 */
export function partition(count: number, parts: number, index: number, block = 1): Range {
  const blocks = Math.ceil(count / block)
  const unit = blocks < parts ? 1 : block
  const units = unit === 1 ? count : blocks
  const bound = (i: number) => Math.min(count, Math.floor((units * i) / parts) * unit)
  return { start: bound(index), end: bound(index + 1) }
}

/** Prompt tokens that a step takes at most unless it is said otherwise: fewer where stages are to overlap. */
export function chunkTokensOf({ pipeline }: Pick<ParallelPlan, 'pipeline'>): number {
  return pipeline > 1 ? 128 : 256
}

/** The sizes of a model that limit how it can be split. */
export interface Divisible {
  layers: number
  heads: number
}

/**
 * Checks that a plan fits a model.
 * @throws InvalidInputError naming the part that does not.
 */
export function checkPlan(plan: ParallelPlan, model: Divisible): void {
  for (const [name, size] of Object.entries(plan)) {
    if (!Number.isInteger(size) || size < 1) {
      throw new InvalidInputError(`plan: ${name} must be a whole number of at least 1; found ${size}`)
    }
  }
  if (plan.pipeline > model.layers) {
    throw new InvalidInputError(
      `plan: ${plan.pipeline} pipeline stages, but the model has ${model.layers} layers; use ${model.layers} or less`,
    )
  }
  if (plan.tensor > model.heads) {
    throw new InvalidInputError(
      `plan: ${plan.tensor} tensor shards, but the model has ${model.heads} attention heads; use ${model.heads} or less`,
    )
  }
}
