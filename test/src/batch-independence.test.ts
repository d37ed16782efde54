import { setTimeout as delay } from 'node:timers/promises'
import { type Cluster, connect } from '@troupe/core'
import { Engine, type EngineOptions, type GeneratedToken, type GenerateOptions } from '@troupe/llm'
import test from 'ava'
import { tales } from './support/models.js'
import { ProcessGuard } from './support/processes.js'

const REQUESTS = 64
const VOCABULARY = 1000

/** Numbers that are the same in every run. */
function numbers(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

interface Asked {
  prompt: number[]
  options: GenerateOptions
}

/** Texts of random lengths and parameters, half of which begin like others. */
function requests(): Asked[] {
  const below = numbers(7)
  const tokens = (count: number) => Array.from({ length: count }, () => 3 + below(VOCABULARY))
  const beginnings = [tokens(70), tokens(40)]
  return Array.from({ length: REQUESTS }, (_, i) => {
    const drawn: Partial<GenerateOptions> =
      i % 3 === 0
        ? {}
        : {
            ...{
              temperature: 0.5 + below(10) / 10,
              seed: below(1000),
              topK: [0, 40][below(2)]!,
              topP: [1, 0.9][below(2)]!,
            },
            ...{
              minP: [0, 0.05][below(2)]!,
              repetitionPenalty: [1, 1.2][below(2)]!,
              presencePenalty: [0, 0.5][below(2)]!,
            },
            ...{ frequencyPenalty: [0, 0.3][below(2)]!, logitBias: below(2) === 0 ? {} : { 5: 2, 9: -100 } },
          }
    return {
      prompt: [...(i % 2 === 0 ? beginnings[below(2)]! : []), ...tokens(1 + below(i % 8 === 0 ? 120 : 30))],
      options: { maxTokens: 1 + below(24), logProbs: i % 5 === 0 ? 3 : 0, ...drawn },
    }
  })
}

async function answer(engine: Engine, { prompt, options }: Asked): Promise<GeneratedToken[]> {
  const tokens: GeneratedToken[] = []
  for await (const token of engine.generate(prompt, options)) tokens.push(token)
  return tokens
}

async function compare(
  cluster: Cluster,
  options: Omit<EngineOptions, 'model'>,
  asked: readonly Asked[],
): Promise<{ alone: GeneratedToken[][]; together: GeneratedToken[][] }> {
  const engine = await Engine.start(cluster, { model: tales, contextLength: 256, threads: 1, ...options })
  try {
    const alone: GeneratedToken[][] = []
    for (const one of asked) alone.push(await answer(engine, one))
    const together = await Promise.all(
      asked.map(async (one, i) => {
        await delay(i % 16 === 0 ? 0 : i)
        return answer(engine, one)
      }),
    )
    return { alone, together }
  } finally {
    await engine.stop()
  }
}

/** With few blocks, texts have to be computed again; 256 tokens are those of the longest text. */
const variants: Omit<EngineOptions, 'model'>[] = [
  { plan: {} },
  { plan: {}, prefixCaching: false, weights: 'Q8_0' },
  { plan: {}, cacheTokens: 256, cacheType: 'int8', weights: 'Q4_0' },
  { plan: { pipeline: 2 }, cacheTokens: 256 },
  { plan: { tensor: 2 }, cacheTokens: 320, prefixCaching: false },
  { plan: { pipeline: 2, tensor: 2 }, cacheTokens: 512, weights: 'Q8_0' },
  { plan: { sequence: 2 }, cacheTokens: 256 },
]

test.serial(
  '64 texts of random lengths and parameters are what each is alone, under every plan, cache and format, to the last bit',
  async (t) => {
    new ProcessGuard(t)
    await using cluster = await connect()
    const asked = requests()
    for (const options of variants) {
      const { alone, together } = await compare(cluster, options, asked)
      t.deepEqual(together, alone, JSON.stringify(options))
      t.true(alone.flat().length > 5 * REQUESTS)
    }
  },
)
