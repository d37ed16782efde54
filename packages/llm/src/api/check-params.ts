import { InvalidInputError } from '@troupe/core'
import { MOST_LOG_PROBS } from '../engine/sampler.js'
import type { GenerationParams } from './params.js'

/** The most answers to one prompt, texts that end one, and their length. */
const MOST_ANSWERS = 128
const MOST_STOPS = 64
const MOST_STOP_LENGTH = 1024
const MOST_BIAS = 100

interface Rule {
  expected: string
  holds(value: unknown, vocabularySize: number): boolean
}

const isNumber = (value: unknown, least: number, most: number) =>
  typeof value === 'number' && Number.isFinite(Math.fround(value)) && value >= least && value <= most
const isCount = (value: unknown, least: number, most = Number.MAX_SAFE_INTEGER) =>
  Number.isSafeInteger(value) && isNumber(value, least, most)
const isToken = (value: unknown, vocabularySize: number) => isCount(value, 0, vocabularySize - 1)
const isStop = (value: unknown) => typeof value === 'string' && value !== '' && value.length <= MOST_STOP_LENGTH
const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null
const above0 = { expected: 'a number above 0', holds: (value: unknown) => isNumber(value, 0, Infinity) && value !== 0 }
const flag = { expected: 'true or false', holds: (value: unknown) => typeof value === 'boolean' }
const count = (least: number, most?: number): Rule => ({
  expected: most === undefined ? `a whole number of at least ${least}` : `a whole number from ${least} to ${most}`,
  holds: (value) => isCount(value, least, most),
})
const between = (least: number, most: number): Rule => ({
  expected: `a number from ${least} to ${most}`,
  holds: (value) => isNumber(value, least, most),
})

const RULES: Record<keyof GenerationParams, Rule> = {
  maxTokens: count(0),
  minTokens: count(0),
  temperature: { expected: 'a number of at least 0', holds: (value) => isNumber(value, 0, Infinity) },
  topK: count(0),
  topP: { expected: 'a number above 0, and at most 1', holds: (value) => isNumber(value, 0, 1) && value !== 0 },
  minP: between(0, 1),
  repetitionPenalty: above0,
  presencePenalty: between(-2, 2),
  frequencyPenalty: between(-2, 2),
  logitBias: {
    expected: `numbers from -${MOST_BIAS} to ${MOST_BIAS} by token ids of the vocabulary`,
    holds: (value, vocabularySize) =>
      isObject(value) &&
      Object.entries(value).every(
        ([token, bias]) => isToken(Number(token), vocabularySize) && isNumber(bias, -MOST_BIAS, MOST_BIAS),
      ),
  },
  seed: { expected: 'a whole number', holds: (value) => Number.isSafeInteger(value) },
  stop: {
    expected: `a text of 1 to ${MOST_STOP_LENGTH} characters, or a list of at most ${MOST_STOPS} of them`,
    holds: (value) => isStop(value) || (Array.isArray(value) && value.length <= MOST_STOPS && value.every(isStop)),
  },
  stopTokens: {
    expected: 'a list of token ids of the vocabulary',
    holds: (value, vocabularySize) => Array.isArray(value) && value.every((token) => isToken(token, vocabularySize)),
  },
  ignoreEnd: flag,
  logProbs: count(0, MOST_LOG_PROBS),
  n: count(1, MOST_ANSWERS),
  structure: {
    expected: 'an object with a type of json, json_schema, regex or grammar',
    holds: (value) =>
      isObject(value) && ['json', 'json_schema', 'regex', 'grammar'].includes((value as { type?: string }).type!),
  },
  signal: { expected: 'an AbortSignal', holds: (value) => value instanceof AbortSignal },
}

/**
 * Checks parameters of generation.
 * @param more names that are known beside them
 * @throws InvalidInputError naming the first that is not one, or whose value cannot be.
 */
export function checkParams(params: object, vocabularySize: number, more: readonly string[] = []): void {
  for (const [name, value] of Object.entries(params)) {
    if (more.includes(name)) continue
    if (!Object.hasOwn(RULES, name)) {
      throw new InvalidInputError(`${name} is no parameter; expected ${[...Object.keys(RULES), ...more].join(', ')}`)
    }
    const { expected, holds } = RULES[name as keyof GenerationParams]
    if (value !== undefined && !holds(value, vocabularySize)) {
      throw new InvalidInputError(`${name} must be ${expected}; found ${shown(value)}`)
    }
  }
  const { minTokens = 0, maxTokens = Infinity } = params as GenerationParams
  if (minTokens > maxTokens) {
    throw new InvalidInputError(`minTokens must be at most maxTokens, which is ${maxTokens}; found ${minTokens}`)
  }
}

function shown(value: unknown): string {
  const text = typeof value === 'object' || typeof value === 'string' ? JSON.stringify(value) : String(value)
  return text.length > 100 ? `${text.slice(0, 100)}…` : text
}
