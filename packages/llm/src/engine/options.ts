import { InvalidInputError } from '@troupe/core'
import { CACHE_TYPES, PRECISIONS, PROGRAM_DEVICES } from '@troupe/tensor'
import type { ModelConfig } from '../models/config.js'
import type { ParallelPlan } from '../parallel/plan.js'
import { LOAD_FORMATS } from '../weights/quantize.js'
import type { EngineOptions, GenerateOptions } from './engine.js'
import { checkParameters, flag, SAMPLING_RULES, shown } from './parameter-rules.js'
import type { SamplingParams } from './request.js'

const ENGINE_OPTIONS: Record<keyof EngineOptions, true> = {
  ...{ model: true, plan: true, layers: true, mapping: true, deployment: true, replicas: true, weights: true },
  ...{ communication: true, device: true, contextLength: true, prefixCaching: true },
  ...{ maxSequences: true, cacheTokens: true, cacheType: true, chunkTokens: true, scoring: true },
  ...{ threads: true, onLoadProgress: true },
}
const GENERATE_OPTIONS: Record<keyof GenerateOptions, true> = {
  ...{ maxTokens: true, minTokens: true, seed: true, stopAtEnd: true, stopTokens: true, wantLogits: true },
  ...{ temperature: true, topK: true, topP: true, minP: true, repetitionPenalty: true, presencePenalty: true },
  ...{ frequencyPenalty: true, logitBias: true, logProbs: true, mask: true },
}
const DIMENSIONS: Record<keyof ParallelPlan, true> = { pipeline: true, tensor: true, sequence: true }

const OPTION_RULES = { ...SAMPLING_RULES, stopAtEnd: flag, wantLogits: flag }

/** Options beside which a deployment may be given: it says all others. */
const OUTSIDE_DEPLOYMENT: readonly string[] = [
  'model',
  'weights',
  'communication',
  'device',
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
  const { communication, device } = options
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
  checkOneOf({ device }, PROGRAM_DEVICES)
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
  if (maxTokens === undefined) {
    throw expected('maxTokens', 'the most tokens to generate, a whole number', maxTokens)
  }
  checkParameters(options, OPTION_RULES, config.vocabularySize)
  return {
    sampling: {
      ...{ temperature, topK: Math.min(topK, config.vocabularySize), topP, minP },
      ...{ repetitionPenalty, presencePenalty, frequencyPenalty },
    },
    ...{ seed, minTokens, wantLogits, logProbs, mask },
    maxTokens: Math.min(maxTokens, room),
    endTokens: [...(stopAtEnd ? config.endTokens : []), ...stopTokens],
    biases: Object.entries(logitBias).map(([token, bias]) => [Number(token), bias]),
  }
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
