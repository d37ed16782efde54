import type { Cluster } from '@troupe/core'
import { type Engine, statisticsBetween } from '@troupe/llm'
import type { Figure } from '../benchmark.js'
import { startUncached } from './speeds.js'

/** Texts that are generated at a time. */
const SEQUENCES = 8

interface Load {
  requests: number
  /** Tokens of each prompt, and of each answer. */
  prompt: number
  answer: number
}

/** Prompts and answers as a server sees them, a new request coming when one is done; and answers alone. */
const loads = {
  throughput: { requests: 16, prompt: 512, answer: 32 },
  decode: { requests: 8, prompt: 16, answer: 64 },
} satisfies Record<string, Load>

/** Two pipeline stages beside one worker, each with one thread, which generate several texts at a time. */
export async function* pipeline(cluster: Cluster, sizes: { model: string; runs: number }): AsyncGenerator<Figure> {
  const contextLength = Math.max(...Object.values(loads).map(({ prompt, answer }) => prompt + answer))
  const start = (stages: number) =>
    startUncached(cluster, {
      model: sizes.model,
      plan: { pipeline: stages },
      contextLength,
      threads: 1,
      maxSequences: SEQUENCES,
    })
  const [alone, stages] = [await start(1), await start(2)]
  for (const engine of [alone, stages]) await serve(engine, { requests: SEQUENCES, prompt: 32, answer: 2 })
  for (const [name, load] of Object.entries(loads)) {
    const runs = []
    for (let run = 0; run < sizes.runs; run++)
      runs.push({ alone: await serve(alone, load), stages: await serve(stages, load) })
    const speed = {
      alone: median(runs.map((run) => run.alone.speed)),
      stages: median(runs.map((run) => run.stages.speed)),
    }
    yield { name: `pipeline2.${name}`, unit: 'x', value: speed.stages / speed.alone }
    yield { name: `pipeline2.${name}.speed`, unit: 'tok/s', value: speed.stages }
    yield { name: `pipeline1.${name}.speed`, unit: 'tok/s', value: speed.alone }
    const suffix = name === 'throughput' ? '' : `.${name}`
    yield { name: `pipeline2.bubble${suffix}`, unit: '%', value: 100 * median(runs.map((run) => run.stages.bubble)) }
  }
  await Promise.all([alone.stop(), stages.stop()])
}

/** Tokens a second, of prompts and answers together, and the share of the time in which stages waited. */
async function serve(engine: Engine, { requests, prompt, answer }: Load): Promise<{ speed: number; bubble: number }> {
  const { vocabularySize } = engine.config
  const before = await engine.statistics()
  const started = performance.now()
  let next = 0
  const client = async () => {
    while (next < requests) {
      const text = next++
      const ids = Array.from({ length: prompt }, (_, i) => (1 + text * 104_729 + i * 7919) % vocabularySize)
      for await (const _ of engine.generate(ids, { maxTokens: answer, stopAtEnd: false })) {
        // Only their number counts.
      }
    }
  }
  await Promise.all(Array.from({ length: SEQUENCES }, client))
  const speed = (requests * (prompt + answer) * 1000) / (performance.now() - started)
  return { speed, bubble: statisticsBetween(before, await engine.statistics()).bubble }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!
}
