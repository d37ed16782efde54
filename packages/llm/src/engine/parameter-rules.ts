import { InvalidInputError } from '@troupe/core'
import type { GenerateOptions } from './engine.js'
import { MOST_LOG_PROBS } from './sampler.js'

const MOST_PENALTY = 2
const MOST_REPETITION_PENALTY = 100
const MOST_BIAS = 100
/** The most stop tokens and biases of a request: with a model's own end tokens they fit in what a step has room for. */
const MOST_STOP_TOKENS = 16
const MOST_GIVEN_BIASES = 1000

/** What a parameter of generation may be. */
export interface ParameterRule {
  expected: string
  holds(value: unknown, vocabularySize: number): boolean
}

/** A parameter of generation cannot be what it is given as. */
export class InvalidParameterError extends InvalidInputError {
  override name = 'InvalidParameterError'

  /** @param problem says what is wrong, behind the parameter's name, where other parameters are called what they are given as */
  constructor(
    readonly parameter: string,
    private readonly problem: (nameOf: (parameter: string) => string) => string,
  ) {
    super(`${parameter} ${problem((name) => name)}`)
  }

  /** The message where parameters have other names. */
  messageWith(nameOf: (parameter: string) => string): string {
    return `${nameOf(this.parameter)} ${this.problem(nameOf)}`
  }
}

const isNumber = (value: unknown, least: number, most: number): value is number =>
  typeof value === 'number' && Number.isFinite(Math.fround(value)) && value >= least && value <= most
const isCount = (value: unknown, least: number, most: number) =>
  Number.isSafeInteger(value) && isNumber(value, least, most)
const isToken = (value: unknown, vocabularySize: number) => isCount(value, 0, vocabularySize - 1)

export const flag: ParameterRule = { expected: 'true or false', holds: (value) => typeof value === 'boolean' }

/** A whole number. */
export function count(least: number, most = Number.MAX_SAFE_INTEGER): ParameterRule {
  return {
    expected:
      most === Number.MAX_SAFE_INTEGER
        ? `a whole number of at least ${least}`
        : `a whole number from ${least} to ${most}`,
    holds: (value) => isCount(value, least, most),
  }
}

function between(least: number, most: number): ParameterRule {
  return { expected: `a number from ${least} to ${most}`, holds: (value) => isNumber(value, least, most) }
}

function above0(most: number): ParameterRule {
  return {
    expected: `a number above 0, and at most ${most}`,
    holds: (value) => isNumber(value, 0, most) && Math.fround(value) !== 0,
  }
}

/** Parameters that an engine's requests have, and those of its API under the same names. */
export const SAMPLING_RULES = {
  maxTokens: count(0),
  minTokens: count(0),
  temperature: { expected: 'a number of at least 0', holds: (value) => isNumber(value, 0, Infinity) },
  topK: count(0),
  topP: above0(1),
  minP: between(0, 1),
  repetitionPenalty: above0(MOST_REPETITION_PENALTY),
  presencePenalty: between(-MOST_PENALTY, MOST_PENALTY),
  frequencyPenalty: between(-MOST_PENALTY, MOST_PENALTY),
  logitBias: {
    expected: `numbers from -${MOST_BIAS} to ${MOST_BIAS} by token ids of the vocabulary, ${MOST_GIVEN_BIASES} at most`,
    holds: (value, vocabularySize) => {
      if (typeof value !== 'object' || value === null) return false
      const biases = Object.entries(value)
      const isBias = ([token, bias]: [string, unknown]) =>
        isToken(Number(token), vocabularySize) && isNumber(bias, -MOST_BIAS, MOST_BIAS)
      return biases.length <= MOST_GIVEN_BIASES && biases.every(isBias)
    },
  },
  seed: { expected: 'a whole number', holds: (value) => Number.isSafeInteger(value) },
  stopTokens: {
    expected: `a list of token ids of the vocabulary, ${MOST_STOP_TOKENS} at most`,
    holds: (value, vocabularySize) =>
      Array.isArray(value) &&
      value.length <= MOST_STOP_TOKENS &&
      value.every((token) => isToken(token, vocabularySize)),
  },
  logProbs: count(0, MOST_LOG_PROBS),
} satisfies { [Name in keyof GenerateOptions]?: ParameterRule }

/**
 * Checks parameters by rules; those that are undefined are left out.
 * @throws InvalidParameterError of the first whose value cannot be.
 */
export function checkParameters(
  given: object,
  rules: Readonly<Record<string, ParameterRule>>,
  vocabularySize: number,
): void {
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || !Object.hasOwn(rules, name)) continue
    const { expected, holds } = rules[name]!
    if (!holds(value, vocabularySize)) {
      throw new InvalidParameterError(name, () => `must be ${expected}; found ${shown(value)}`)
    }
  }
}

/** A value as it can stand in an error of one line. */
export function shown(value: unknown): string {
  const text = typeof value === 'object' || typeof value === 'string' ? jsonOf(value) : String(value)
  return text.length > 100 ? `${text.slice(0, 100)}…` : text
}

function jsonOf(value: unknown): string {
  try {
    return JSON.stringify(value) ?? 'an object'
  } catch {
    return 'an object'
  }
}
