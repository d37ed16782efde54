import { createHash } from 'node:crypto'
import type { GenerateOptions } from '../engine/engine.js'
import type { TokenMask } from '../engine/sampler.js'
import type { GenerationParams } from './params.js'

/**
 * What the engine is asked for an answer.
 * @param index The answer's number; of several to one prompt, each has a seed of its own.
 * @param room The tokens that the context has for it.
 * @param mask Holds it to a structure.
 */
export function engineOptionsOf(
  params: GenerationParams,
  index: number,
  room: number,
  mask?: TokenMask,
): GenerateOptions {
  const { maxTokens = room, temperature = 1, seed, ignoreEnd = false, topK, topP, minP } = params
  const { minTokens, repetitionPenalty, presencePenalty, frequencyPenalty, logitBias, logProbs, stopTokens } = params
  const given = {
    ...{ topK, topP, minP, minTokens, repetitionPenalty, presencePenalty, frequencyPenalty, logitBias },
    ...{ logProbs, stopTokens, mask, seed: seed === undefined ? undefined : seedOf(seed, index) },
  }
  return {
    ...{ maxTokens: Math.max(0, Math.min(maxTokens, room)), temperature, stopAtEnd: !ignoreEnd },
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  }
}

/** The seed of the first answer is that of its request, and others have theirs from it. */
function seedOf(seed: number, index: number): number {
  if (index === 0) return seed
  return createHash('sha256').update(`${seed} ${index}`).digest().readUIntBE(0, 6)
}
