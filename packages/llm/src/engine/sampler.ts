/** How the next token is chosen from the logits. */
export interface Sampling {
  /** 0 takes the likeliest token; above 0, logits are divided by it before the draw. */
  temperature: number
  /** Draw only from this many likeliest tokens; 0 for all. */
  topK: number
  /** Draw only from the likeliest tokens that together reach this probability; 1 for all (arXiv 1904.09751). */
  topP: number
  /** Draw only from tokens that are at least this share as likely as the likeliest (arXiv 2407.01082). Default 0. */
  minP?: number
  /**
   * Divides positive logits of tokens of the prompt and the answer, and multiplies negative ones (arXiv 1909.05858).
   * Above 0, at most 100, default 1.
   */
  repetitionPenalty?: number
  /** Taken from the logits of tokens that the answer has, once. From -2 to 2, default 0. */
  presencePenalty?: number
  /** Taken from the logits of tokens that the answer has, each time. From -2 to 2, default 0. */
  frequencyPenalty?: number
}

/** What a text is held to: which tokens may come next. */
export interface TokenMask {
  /** Bit t of the words, which is bit t & 31 of word t >> 5, says whether token t may come next; undefined if all may. */
  next(): Int32Array | undefined
  /** A token has been sampled. */
  accept(token: number): void
}

/** The sampling of an output from which nothing is drawn. */
export const NO_DRAW: Sampling = { temperature: -1, topK: 0, topP: 1 }

/** The token that Trace.sample gives where logits are no numbers. */
export const NOT_A_NUMBER = -2

/** A model has computed logits that are not numbers, from which no token can be chosen. */
export class LogitsError extends Error {
  override name = 'LogitsError'

  /**
   * @param position of the token, counted from 0, that the logits come after
   * @param what is not numbers
   */
  constructor(
    readonly position: number,
    what: 'logits' | 'hidden states' = 'logits',
  ) {
    super(
      `the ${what} after the token at position ${position} are not numbers: weights of the model are damaged, or what it computes overflows; fetch the model again, or store it and its KV cache in types of a larger range`,
    )
  }
}

const floats = new Float32Array(1)
const bits = new Int32Array(floats.buffer)

/**
 * A row of the settings that Trace.sample reads.
 * @param random A number in [0, 1) that decides the draw.
 */
export function samplingRow({ temperature, topK, topP }: Sampling, random: number): number[] {
  return [bitsOf(temperature), topK, bitsOf(topP), Math.floor(random * 2 ** 32) | 0]
}

/** Numbers of a row of adjustments (see SampleAdjustments), and where in it a row has its counts, biases and mask. */
export const ADJUSTMENT_COLUMNS = 8
const NEUTRAL = [0, bitsOf(1), 0, 0, -1, 0, 0, -1]
/** The most biases of one output. */
export const MOST_BIASES = 1024
/** The most likeliest tokens that are given out with a token. */
export const MOST_LOG_PROBS = 20

/** How one output of a step is drawn. */
export interface Draw {
  sampling: Sampling
  /** In [0, 1). */
  random: number
  /** The row of its text. */
  row: number
  /** Added to the logits of tokens. */
  biases: readonly (readonly [token: number, bias: number])[]
  mask: Int32Array | undefined
  /** The likeliest tokens to give out with it, if any log-probabilities are wanted. */
  logProbs: number | undefined
}

/** How the outputs of a step are sampled. Rows of the same output have the same place in all lists. */
export interface StepSampling {
  /** For each output, the row of its sequence if a token is sampled there, else -1; and how it is sampled (see Trace.sample). */
  outputRows: number[]
  settings: number[]
  /** Where any output is drawn otherwise: the changes to logits (see SampleAdjustments), and the rows in which tokens are counted. */
  adjustments?: number[]
  countRows?: number[]
  biases?: number[]
  masks?: Int32Array[]
  /** The likeliest tokens that are wanted with each output, or -1. */
  logProbs?: number[]
}

/** The sampling of a step whose outputs are drawn so; undefined stands for one from which nothing is drawn. */
export function stepSampling(draws: readonly (Draw | undefined)[]): StepSampling {
  const step: StepSampling = {
    outputRows: draws.map((draw) => draw?.row ?? -1),
    settings: draws.flatMap((draw) => (draw ? samplingRow(draw.sampling, draw.random) : samplingRow(NO_DRAW, 0))),
  }
  if (draws.some((draw) => draw && isAdjusted(draw))) {
    step.biases = []
    step.masks = []
    step.countRows = draws.map((draw) => (draw && isPenalized(draw.sampling) ? draw.row : -1))
    step.adjustments = draws.flatMap((draw) => (draw ? adjustmentRow(draw, step.biases!, step.masks!) : NEUTRAL))
  }
  if (draws.some((draw) => draw?.logProbs !== undefined)) step.logProbs = draws.map((draw) => draw?.logProbs ?? -1)
  return step
}

/** Adjustments of outputs that are drawn as their logits say. */
export function neutralAdjustments(outputs: number): number[] {
  return Array.from({ length: outputs }, () => NEUTRAL).flat()
}

/** Whether it matters which tokens a text has. */
export function isPenalized({ repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0 }: Sampling): boolean {
  return repetitionPenalty !== 1 || presencePenalty !== 0 || frequencyPenalty !== 0
}

function isAdjusted({ sampling, biases, mask }: Draw): boolean {
  return isPenalized(sampling) || (sampling.minP ?? 0) > 0 || biases.length > 0 || mask !== undefined
}

function adjustmentRow({ sampling, row, biases, mask }: Draw, allBiases: number[], masks: Int32Array[]): number[] {
  const { minP = 0, repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0 } = sampling
  const begin = allBiases.length / 2
  for (const [token, bias] of biases) allBiases.push(token, bitsOf(bias))
  return [
    ...[bitsOf(minP), bitsOf(repetitionPenalty), bitsOf(presencePenalty), bitsOf(frequencyPenalty)],
    ...[isPenalized(sampling) ? row : -1, begin, begin + biases.length],
    mask ? masks.push(mask) - 1 : -1,
  ]
}

/** The natural logarithm of the probability that `logits` give a token. */
export function logProbability(logits: Float32Array, token: number): number {
  const highest = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  let total = 0
  for (const logit of logits) total += Math.exp(logit - highest)
  return logits[token]! - highest - Math.log(total)
}

function bitsOf(value: number): number {
  floats[0] = value
  return bits[0]!
}
