import type { Cluster } from '@troupe/core'
import type { Engine } from '@troupe/llm'
import type { Figure } from '../benchmark.js'
import { interleave } from './interleave.js'
import type { Sizes } from './parallel.js'
import { speedsOf, startUncached } from './speeds.js'

/** Two sequence chunks beside one worker, at a long prompt. */
export async function* sequencePrefill(cluster: Cluster, sizes: Sizes): AsyncGenerator<Figure> {
  const { model, runs, longPrefill } = sizes
  const start = (sequence: number) =>
    startUncached(cluster, { model, contextLength: longPrefill + 1, threads: 1, plan: { sequence } })
  const [alone, chunks] = [await start(1), await start(2)]
  const measure = (engine: Engine) => async () => ({ speed: (await speedsOf(engine, longPrefill, 1)).prefill })
  for (const engine of [alone, chunks]) await speedsOf(engine, 64, 1)
  const found = await interleave({ alone: measure(alone), chunks: measure(chunks) }, runs)
  await alone.stop()
  await chunks.stop()

  yield { name: 'sequence2.prefill', unit: 'x', value: found.chunks.speed / found.alone.speed }
  yield { name: 'sequence2.prefill.speed', unit: 'tok/s', value: found.chunks.speed }
  yield { name: 'alone.prefill.long.speed', unit: 'tok/s', value: found.alone.speed }
}
