import { createHash } from 'node:crypto'
import { InvalidInputError } from '@troupe/core'
import type { GenerateOptions } from '../engine/engine.js'
import type { GenerationParams } from './params.js'

/** What an engine is asked for, beyond what the one of today knows. */
interface AllOptions extends GenerateOptions {
  minTokens?: number | undefined
  minP?: number | undefined
  repetitionPenalty?: number | undefined
  presencePenalty?: number | undefined
  frequencyPenalty?: number | undefined
  logitBias?: Readonly<Record<number, number>> | undefined
  stopTokens?: readonly number[] | undefined
  logProbs?: number | undefined
  mask?: unknown
}

/** Options that the engine does not know yet, with the values that ask for nothing. */
const NOT_YET: Partial<Record<keyof AllOptions, unknown>> = {
  ...{ minTokens: 0, minP: 0, repetitionPenalty: 1, presencePenalty: 0, frequencyPenalty: 0 },
  ...{ logitBias: undefined, logProbs: undefined, mask: undefined },
}

/** Of a model's defaults, those that the engine heeds. */
export function heeded(defaults: GenerationParams): GenerationParams {
  return Object.fromEntries(Object.entries(defaults).filter(([name]) => !Object.hasOwn(NOT_YET, name)))
}

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
  mask?: unknown,
): GenerateOptions {
  const { maxTokens = room, temperature = 1, topK, topP, seed, ignoreEnd = false } = params
  const { minTokens, minP, repetitionPenalty, presencePenalty, frequencyPenalty, logitBias, logProbs } = params
  const all: AllOptions = {
    ...{ maxTokens: Math.max(0, Math.min(maxTokens, room)), temperature, stopAtEnd: !ignoreEnd },
    ...(topK === undefined ? {} : { topK }),
    ...(topP === undefined ? {} : { topP }),
    ...(seed === undefined ? {} : { seed: seedOf(seed, index) }),
    ...{ minTokens, minP, repetitionPenalty, presencePenalty, frequencyPenalty, logitBias, logProbs, mask },
  }
  for (const [name, nothing] of Object.entries(NOT_YET)) {
    const value = all[name as keyof AllOptions]
    if (value !== undefined && value !== nothing)
      throw new InvalidInputError(`${name} is not supported yet; leave it out`)
    delete all[name as keyof AllOptions]
  }
  return all
}

/** The seed of the first answer is that of its request, and others have theirs from it. */
function seedOf(seed: number, index: number): number {
  if (index === 0) return seed
  return createHash('sha256').update(`${seed} ${index}`).digest().readUIntBE(0, 6)
}
