import { InvalidInputError } from '@troupe/core'
import test from 'ava'
import type { GenerateOptions } from '../engine/engine.js'
import { samplingParamsOf } from '../engine/options.js'
import type { ModelConfig } from '../models/config.js'
import { checkParams } from './check-params.js'

test('parameters within their ranges are taken, and what is left out', (t) => {
  const { signal } = new AbortController()
  for (const params of [
    {},
    { temperature: 0, topK: 0, topP: 1, minP: 0, seed: -7, n: 128, logProbs: 20, maxTokens: 0, signal },
    {
      temperature: undefined,
      stop: 'x',
      stopTokens: [0, 9],
      logitBias: { 0: -100, 9: 100 },
      structure: { type: 'json' },
    },
    { repetitionPenalty: 1.1, presencePenalty: -2, frequencyPenalty: 2, stop: ['x', 'y'], ignoreEnd: true },
  ]) {
    t.notThrows(() => checkParams(params, 10))
  }
})

test('a parameter that is not one or cannot be is refused by its name, with what was expected and found', (t) => {
  const wrong: Record<string, unknown[]> = {
    maxTokens: [-1, 1.5, '3', null, Number.NaN],
    minTokens: [-1],
    temperature: [-0.1, Number.POSITIVE_INFINITY, 1e300, 'hot'],
    topK: [-1, 0.5],
    topP: [0, 1.1, null],
    minP: [-0.1, 1.1],
    repetitionPenalty: [0, -1],
    presencePenalty: [-2.1],
    frequencyPenalty: [2.1],
    logitBias: [{ 10: 1 }, { x: 1 }, { 1: 101 }, 3],
    seed: [0.5, 2 ** 60],
    stop: ['', [''], [3], Array(65).fill('x'), 'x'.repeat(1025)],
    stopTokens: [[10], 3, [-1]],
    ignoreEnd: ['yes'],
    logProbs: [21, -1, true],
    n: [0, 129],
    structure: ['json', { type: 'xml' }, null],
    signal: [{ aborted: false }],
  }
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      const error = t.throws(() => checkParams({ [name]: value }, 10), { instanceOf: InvalidInputError }, name)
      t.regex(error!.message, new RegExp(`^${name} must be .+; found .+`))
      t.true(error!.message.length < 300)
    }
  }
  t.throws(() => checkParams({ top_p: 1 }, 10), { message: /^top_p is no parameter; expected .*topP/ })
  t.throws(() => checkParams({ constructor: 1 }, 10), { message: /^constructor is no parameter/ })
  t.throws(() => checkParams({ minTokens: 3, maxTokens: 2 }, 10), { message: /^minTokens must be at most maxTokens/ })
  t.notThrows(() => checkParams({ tools: [] }, 10, ['tools']))
})

test('an engine refuses the same values as the API does, in the same words', (t) => {
  const config = { vocabularySize: 10, endTokens: [1] } as unknown as ModelConfig
  const all: Record<string, unknown[]> = {
    maxTokens: [0, 1, -1, 1.5, '3', null],
    minTokens: [0, 3, -1],
    temperature: [0, 2, -0.1, Number.NaN, 1e39, 'hot'],
    topK: [0, 40, -1, 0.5],
    topP: [1, 0.1, 0, 1e-50, 1.1, null],
    minP: [0, 1, -0.1, 1.1],
    repetitionPenalty: [1.2, 100, 0, 101, Number.POSITIVE_INFINITY],
    presencePenalty: [-2, 2, 2.1, '1'],
    frequencyPenalty: [-2, 2, -2.1],
    logitBias: [{}, { 9: -100 }, { 10: 1 }, { 1: 101 }, { x: 1 }, null, 3],
    seed: [-7, 0.5, 2 ** 60],
    stopTokens: [[], [9], [10], Array(16).fill(2), Array(17).fill(2), 3],
    logProbs: [0, 20, 21, true],
  }
  const messageOf = (check: () => unknown) => {
    try {
      check()
      return undefined
    } catch (error) {
      t.true(error instanceof InvalidInputError, String(error))
      return (error as Error).message
    }
  }
  const many = Object.fromEntries(Array.from({ length: 1001 }, (_, token) => [token, 1]))
  t.regex(messageOf(() => checkParams({ logitBias: many }, 2000))!, /^logitBias must be .*, 1000 at most; found/)
  for (const [name, values] of Object.entries(all)) {
    const messages = values.map((value) => {
      const message = messageOf(() => checkParams({ [name]: value }, 10))
      const options = { maxTokens: 5, [name]: value } as GenerateOptions
      t.is(
        messageOf(() => samplingParamsOf(options, config, 8)),
        message,
        `${name}: ${JSON.stringify(value)}`,
      )
      return message
    })
    t.true(messages.includes(undefined) && messages.some((message) => message !== undefined), name)
  }
})
