import { InvalidInputError } from '@troupe/core'
import { CACHE_TYPES, PRECISIONS } from '@troupe/tensor'
import type { ModelConfig } from '../models/config.js'
import type { ParallelPlan } from '../parallel/plan.js'
import { LOAD_FORMATS } from '../weights/quantize.js'
import type { EngineOptions, GenerateOptions } from './engine.js'
import type { SamplingParams } from './request.js'
import { MOST_LOG_PROBS } from './sampler.js'

const ENGINE_OPTIONS: Record<keyof EngineOptions, true> = {
  ...{ model: true, plan: true, layers: true, mapping: true, deployment: true, replicas: true, weights: true },
  ...{ communication: true, contextLength: true, prefixCaching: true },
  ...{ maxSequences: true, cacheTokens: true, cacheType: true, chunkTokens: true, scoring: true },
  ...{ threads: true, onLoadProgress: true },
}
const GENERATE_OPTIONS: Record<keyof GenerateOptions, true> = {
  ...{ maxTokens: true, minTokens: true, seed: true, stopAtEnd: true, stopTokens: true, wantLogits: true },
  ...{ temperature: true, topK: true, topP: true, minP: true, repetitionPenalty: true, presencePenalty: true },
  ...{ frequencyPenalty: true, logitBias: true, logProbs: true, mask: true },
}
const DIMENSIONS: Record<keyof ParallelPlan, true> = { pipeline: true, tensor: true, sequence: true }

/** The most stop tokens and biases of a request: with a model's own end tokens they fit in what a step has room for. */
const MOST_STOP_TOKENS = 16
const MOST_GIVEN_BIASES = 1000

/** Options beside which a deployment may be given: it says all others. */
const OUTSIDE_DEPLOYMENT: readonly string[] = [
  'model',
  'weights',
  'communication',
  'prefixCaching',
  'deployment',
  'onLoadProgress',
]

/** A prompt leaves no room for an answer in the model's context. */
export class ContextLengthError extends InvalidInputError {
  override name = 'ContextLengthError'
}

/**
 * Checks what does not depend on the model.
 * @throws InvalidInputError naming the first option that is not one, or whose value cannot be.
 */
export function checkEngineOptions(options: EngineOptions): void {
  checkNames('option', options, ENGINE_OPTIONS)
  const { model, plan, replicas, maxSequences, contextLength, chunkTokens, threads, cacheType, weights } = options
  const { communication } = options
  const decided = Object.keys(options).find((name) => !OUTSIDE_DEPLOYMENT.includes(name))
  if (options.deployment !== undefined && decided !== undefined) {
    throw new InvalidInputError(`a deployment says what ${decided} is; leave ${decided} out`)
  }
  if (typeof model !== 'string') throw expected('model', 'the path of a model', model)
  if (plan !== undefined && plan !== 'auto') {
    if (typeof plan !== 'object' || plan === null) throw expected('plan', "'auto' or sizes of its dimensions", plan)
    checkNames('dimension of the plan', plan, DIMENSIONS)
  }
  if (options.prefixCaching !== undefined && typeof options.prefixCaching !== 'boolean') {
    throw expected('prefixCaching', 'true or false', options.prefixCaching)
  }
  if (options.onLoadProgress !== undefined && typeof options.onLoadProgress !== 'function') {
    throw expected('onLoadProgress', 'a function', options.onLoadProgress)
  }
  checkCounts({ replicas, maxSequences, contextLength, chunkTokens, threads })
  checkOneOf({ cacheType }, CACHE_TYPES)
  checkOneOf({ weights }, LOAD_FORMATS)
  checkOneOf({ communication }, PRECISIONS)
}

/**
 * How a request's tokens are drawn, where every option has been checked.
 * @param room The tokens that the context has for the answer.
 * @throws InvalidInputError naming the first option that is not one, or whose value cannot be.
 */
export function samplingParamsOf(options: GenerateOptions, config: ModelConfig, room: number): SamplingParams {
  checkNames('option', options, GENERATE_OPTIONS)
  const { maxTokens, minTokens = 0, temperature = 0, topK = 0, topP = 1, minP = 0, seed, logProbs } = options
  const { repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0, wantLogits = false, mask } = options
  const { stopAtEnd = true, stopTokens = [], logitBias = {} } = options
  if (!isCount(maxTokens, 0)) throw expected('maxTokens', 'the most tokens to generate, a whole number', maxTokens)
  if (!isCount(minTokens, 0)) throw expected('minTokens', 'a whole number of at least 0', minTokens)
  if (!Number.isFinite(Math.fround(temperature)) || temperature < 0) {
    throw expected('temperature', 'a number of at least 0', temperature)
  }
  if (!isCount(topK, 0)) throw expected('topK', 'a whole number of at least 0', topK)
  if (!isWithin(topP, 0, 1) || topP === 0) throw expected('topP', 'a number above 0, and at most 1', topP)
  if (!isWithin(minP, 0, 1)) throw expected('minP', 'a number from 0 to 1', minP)
  if (!isWithin(repetitionPenalty, 0, 100) || repetitionPenalty === 0) {
    throw expected('repetitionPenalty', 'a number above 0, and at most 100', repetitionPenalty)
  }
  for (const [name, penalty] of Object.entries({ presencePenalty, frequencyPenalty })) {
    if (!isWithin(penalty, -100, 100)) throw expected(name, 'a number from -100 to 100', penalty)
  }
  if (seed !== undefined && !Number.isSafeInteger(seed)) throw expected('seed', 'a whole number', seed)
  if (logProbs !== undefined && !(isCount(logProbs, 0) && logProbs <= MOST_LOG_PROBS)) {
    throw expected('logProbs', `a whole number from 0 to ${MOST_LOG_PROBS}`, logProbs)
  }
  if (!Array.isArray(stopTokens) || stopTokens.length > MOST_STOP_TOKENS) {
    throw expected('stopTokens', `a list of token ids, ${MOST_STOP_TOKENS} at most`, stopTokens)
  }
  for (const token of stopTokens) checkToken('stopTokens', token, config.vocabularySize)
  return {
    sampling: {
      ...{ temperature, topK: Math.min(topK, config.vocabularySize), topP, minP },
      ...{ repetitionPenalty, presencePenalty, frequencyPenalty },
    },
    ...{ seed, minTokens, wantLogits, logProbs, mask },
    maxTokens: Math.min(maxTokens, room),
    endTokens: [...(stopAtEnd ? config.endTokens : []), ...stopTokens],
    biases: biasesOf(logitBias, config.vocabularySize),
  }
}

function biasesOf(logitBias: Readonly<Record<number, number>>, vocabularySize: number): [number, number][] {
  if (typeof logitBias !== 'object' || logitBias === null)
    throw expected('logitBias', 'numbers by token ids', logitBias)
  const biases = Object.entries(logitBias).map(([token, bias]): [number, number] => [Number(token), bias])
  if (biases.length > MOST_GIVEN_BIASES)
    throw expected('logitBias', `${MOST_GIVEN_BIASES} tokens at most`, biases.length)
  for (const [token, bias] of biases) {
    checkToken('logitBias', token, vocabularySize)
    if (!isWithin(bias, -1e6, 1e6))
      throw expected(`logitBias of token ${token}`, 'a number from -1000000 to 1000000', bias)
  }
  return biases
}

function checkToken(name: string, token: unknown, vocabularySize: number): void {
  if (isCount(token, 0) && (token as number) < vocabularySize) return
  throw expected(name, `tokens of the vocabulary, from 0 to ${vocabularySize - 1}`, token)
}

function isWithin(value: unknown, least: number, most: number): value is number {
  return typeof value === 'number' && value >= least && value <= most
}

/**
 * Checks that a model can continue a prompt.
 * @throws InvalidInputError if it is no list of tokens, is empty, or has tokens outside the vocabulary; ContextLengthError if
 * it fills the context.
 */
export function checkPrompt(prompt: readonly number[], contextLength: number, vocabularySize: number): void {
  checkTokens('the prompt', prompt, vocabularySize)
  if (prompt.length >= contextLength) {
    throw new ContextLengthError(
      `the prompt has ${prompt.length} tokens, but the context holds ${contextLength}, one of them for the answer; shorten the prompt`,
    )
  }
}

/**
 * Checks that a model can compute a text that is not continued.
 * @throws InvalidInputError and ContextLengthError as checkPrompt() does, where the text may fill the context.
 */
export function checkText(
  text: readonly number[],
  contextLength: number,
  vocabularySize: number,
  name = 'the text',
): void {
  checkTokens(name, text, vocabularySize)
  if (text.length <= contextLength) return
  throw new ContextLengthError(`${name} has ${text.length} tokens, but the context holds ${contextLength}; shorten it`)
}

function checkTokens(name: string, tokens: readonly number[], vocabularySize: number): void {
  if (!Array.isArray(tokens)) {
    throw expected(name, 'a list of token ids; Tokenizer.open(model).encode(text) makes one of a text', tokens)
  }
  if (tokens.length === 0) throw new InvalidInputError(`${name} is empty; give at least one token`)
  const stranger = tokens.findIndex((token) => !(isCount(token, 0) && token < vocabularySize))
  if (stranger >= 0) {
    throw new InvalidInputError(
      `token ${shown(tokens[stranger])} is not in the vocabulary; expected 0 to ${vocabularySize - 1}`,
    )
  }
}

function checkNames(kind: string, given: object, known: Record<string, true>): void {
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(known, name)) continue
    throw new InvalidInputError(`${name} is no ${kind}; expected ${Object.keys(known).join(', ')}`)
  }
}

function checkCounts(counts: Record<string, number | undefined>): void {
  for (const [name, count] of Object.entries(counts)) {
    if (count !== undefined && !isCount(count, 1)) throw expected(name, 'a whole number of at least 1', count)
  }
}

function checkOneOf(values: Record<string, string | undefined>, known: readonly string[]): void {
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && !known.includes(value)) throw expected(name, `one of ${known.join(', ')}`, value)
  }
}

function isCount(value: unknown, least: number): boolean {
  return Number.isSafeInteger(value) && (value as number) >= least
}

function expected(name: string, what: string, found: unknown): InvalidInputError {
  return new InvalidInputError(`${name} must be ${what}; found ${shown(found)}`)
}

function shown(value: unknown): string {
  return typeof value === 'string'
    ? JSON.stringify(value.slice(0, 100))
    : typeof value === 'object'
      ? 'an object'
      : String(value)
}
