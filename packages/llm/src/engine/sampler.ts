/** How the next token is chosen from the logits. */
export interface Sampling {
  /** 0 takes the likeliest token; above 0, logits are divided by it before the draw. */
  temperature: number
  /** Draw only from this many likeliest tokens; 0 for all. */
  topK: number
  /** Draw only from the likeliest tokens that together reach this probability; 1 for all (arXiv 1904.09751). */
  topP: number
}

/**
 * Chooses a token. `random`, in [0, 1), decides the draw, so that the same number gives the same token.
 */
export function sample(logits: Float32Array, sampling: Sampling, random: number): number {
  if (sampling.temperature === 0) return argmax(logits)
  const candidates = likeliest(logits, sampling.topK)
  const highest = logits[candidates[0]!]!
  const weights = candidates.map((token) => Math.exp((logits[token]! - highest) / sampling.temperature))
  const kept = nucleus(weights, sampling.topP)
  const total = sum(weights.slice(0, kept))
  let left = random * total
  for (let i = 0; i < kept; i++) {
    left -= weights[i]!
    if (left < 0) return candidates[i]!
  }
  return candidates[kept - 1]!
}

/** The natural logarithm of the probability that `logits` give a token. */
export function logProbability(logits: Float32Array, token: number): number {
  const highest = logits[argmax(logits)]!
  let total = 0
  for (const logit of logits) total += Math.exp(logit - highest)
  return logits[token]! - highest - Math.log(total)
}

function argmax(logits: Float32Array): number {
  let best = 0
  for (let token = 1; token < logits.length; token++) {
    if (logits[token]! > logits[best]!) best = token
  }
  return best
}

/** The `count` tokens of the highest logits (all if 0), the highest first, ties by token. */
function likeliest(logits: Float32Array, count: number): number[] {
  const tokens = Array.from(logits.keys()).sort((a, b) => logits[b]! - logits[a]! || a - b)
  return count > 0 ? tokens.slice(0, count) : tokens
}

/** How many of the falling `weights` it takes to reach the share `topP` of their sum. */
function nucleus(weights: number[], topP: number): number {
  if (topP >= 1) return weights.length
  const wanted = sum(weights) * topP
  let reached = 0
  const last = weights.findIndex((weight) => {
    reached += weight
    return reached >= wanted
  })
  return last < 0 ? weights.length : last + 1
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
