import { connect } from '@troupe/core'
import { readConfig } from '@troupe/llm'
import { type Benchmark, BenchmarkError } from '../benchmark.js'
import { countOf } from '../numbers.js'
import { pipeline } from './pipeline.js'
import { sequenceDecode } from './sequence-decode.js'
import { sequencePrefill } from './sequence-prefill.js'
import { tensor } from './tensor.js'

/** The model and the amounts that the comparisons measure with. */
export interface Sizes {
  model: string
  /** Runs of each plan, of which the median counts. */
  runs: number
  /** Tokens generated, and prompt tokens for tensor shards and for sequence chunks. */
  decode: number
  prefill: number
  longPrefill: number
}

/** Measured one after the other, each under the names of its figures. */
const comparisons = {
  tensor2: tensor,
  pipeline2: pipeline,
  'sequence2.prefill': sequencePrefill,
  'sequence2.decode': sequenceDecode,
}

/**
 * Speeds of plans of two workers as ratios to one worker's in the same run, one thread a worker, and in tokens a second.
 * The plans take turns, and the medians of their runs are compared.
 */
export const parallel: Benchmark = {
  name: 'parallel',
  summary: `plans of two workers beside one, of --model PATH [--only ${Object.keys(comparisons).join()}]`,
  options: {
    model: { type: 'string' },
    only: { type: 'string', default: Object.keys(comparisons).join() },
    runs: { type: 'string', default: '3' },
    decode: { type: 'string', default: '64' },
    prefill: { type: 'string', default: '2048' },
    'long-prefill': { type: 'string', default: '8192' },
  },
  async *run(values) {
    if (typeof values.model !== 'string') throw new BenchmarkError('expected --model PATH')
    const sizes: Sizes = {
      model: values.model,
      runs: countOf(values, 'runs'),
      decode: countOf(values, 'decode', 2),
      prefill: countOf(values, 'prefill'),
      longPrefill: countOf(values, 'long-prefill'),
    }
    const chosen = String(values.only).split(',').map(comparisonCalled)
    const { contextLength } = readConfig(sizes.model)
    const needed = Math.max(sizes.prefill + sizes.decode, sizes.longPrefill + 1)
    if (needed > contextLength) {
      throw new BenchmarkError(
        `${sizes.model} holds ${contextLength} tokens; expected ${needed}: ask for shorter prompts`,
      )
    }
    await using cluster = await connect()
    for (const compare of chosen) yield* compare(cluster, sizes)
  },
}

function comparisonCalled(name: string) {
  if (Object.hasOwn(comparisons, name)) return comparisons[name as keyof typeof comparisons]
  throw new BenchmarkError(`--only takes ${Object.keys(comparisons).join()}, found ${name}`)
}
