import { InvalidInputError } from '@troupe/core'
import {
  checkParameters,
  count,
  flag,
  InvalidParameterError,
  type ParameterRule,
  SAMPLING_RULES,
} from '../engine/parameter-rules.js'
import type { GenerationParams } from './params.js'

/** The most answers to one prompt, texts that end one, and their length. */
const MOST_ANSWERS = 128
const MOST_STOPS = 64
const MOST_STOP_LENGTH = 1024

const isStop = (value: unknown) => typeof value === 'string' && value !== '' && value.length <= MOST_STOP_LENGTH
const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

const RULES: Record<keyof GenerationParams, ParameterRule> = {
  ...SAMPLING_RULES,
  stop: {
    expected: `a text of 1 to ${MOST_STOP_LENGTH} characters, or a list of at most ${MOST_STOPS} of them`,
    holds: (value) => isStop(value) || (Array.isArray(value) && value.length <= MOST_STOPS && value.every(isStop)),
  },
  ignoreEnd: flag,
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
  for (const name of Object.keys(params)) {
    if (more.includes(name) || Object.hasOwn(RULES, name)) continue
    throw new InvalidInputError(`${name} is no parameter; expected ${[...Object.keys(RULES), ...more].join(', ')}`)
  }
  checkParameters(params, RULES, vocabularySize)
  const { minTokens = 0, maxTokens = Infinity } = params as GenerationParams
  if (minTokens > maxTokens) {
    throw new InvalidParameterError(
      'minTokens',
      (nameOf) => `must be at most ${nameOf('maxTokens')}, which is ${maxTokens}; found ${minTokens}`,
    )
  }
}
