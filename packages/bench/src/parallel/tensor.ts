import type { Cluster } from '@troupe/core'
import type { Engine } from '@troupe/llm'
import type { Figure } from '../benchmark.js'
import { interleave } from './interleave.js'
import type { Sizes } from './parallel.js'
import { speedsOf, startUncached } from './speeds.js'

/** Tokens of the prompt that decoding is measured after. */
const SHORT = 64

/** Two tensor shards beside one worker with one thread, and, at decoding, beside one with two. */
export async function* tensor(cluster: Cluster, sizes: Sizes): AsyncGenerator<Figure> {
  const { model, runs, prefill, decode } = sizes
  const contextLength = Math.max(prefill, SHORT) + decode
  const start = (tensor: number, threads: number) =>
    startUncached(cluster, { model, contextLength, threads, plan: { tensor } })
  const engines = { alone: await start(1, 1), twoThreads: await start(1, 2), shards: await start(2, 1) }
  const measure = (engine: Engine) => async () => ({
    prefill: (await speedsOf(engine, prefill, 1)).prefill,
    decode: (await speedsOf(engine, SHORT, decode)).decode,
  })
  for (const engine of Object.values(engines)) await speedsOf(engine, SHORT, 2)
  const found = await interleave(
    { alone: measure(engines.alone), twoThreads: measure(engines.twoThreads), shards: measure(engines.shards) },
    runs,
  )
  for (const engine of Object.values(engines)) await engine.stop()

  const { alone, twoThreads, shards } = found
  for (const part of ['decode', 'prefill'] as const) {
    yield { name: `tensor2.${part}`, unit: 'x', value: shards[part] / alone[part] }
    yield { name: `tensor2.${part}.threads2`, unit: 'x', value: shards[part] / twoThreads[part] }
    yield { name: `tensor2.${part}.speed`, unit: 'tok/s', value: shards[part] }
    yield { name: `alone.${part}.speed`, unit: 'tok/s', value: alone[part] }
  }
}
