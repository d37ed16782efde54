/** How the next token is chosen from the logits. */
export interface Sampling {
  /** 0 takes the likeliest token; above 0, logits are divided by it before the draw. */
  temperature: number
  /** Draw only from this many likeliest tokens; 0 for all. */
  topK: number
  /** Draw only from the likeliest tokens that together reach this probability; 1 for all (arXiv 1904.09751). */
  topP: number
}

/** The sampling of an output from which nothing is drawn. */
export const NO_DRAW: Sampling = { temperature: -1, topK: 0, topP: 1 }

/** The token that Trace.sample gives where logits are no numbers. */
export const NOT_A_NUMBER = -2

/** A model has computed logits that are not numbers, from which no token can be chosen. */
export class LogitsError extends Error {
  override name = 'LogitsError'

  /** @param position of the token, counted from 0, that the logits come after */
  constructor(readonly position: number) {
    super(
      `the logits after the token at position ${position} are not numbers: weights of the model are damaged, or what it computes overflows; fetch the model again, or store it and its KV cache in types of a larger range`,
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
