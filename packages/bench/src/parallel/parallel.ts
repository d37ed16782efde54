import { connect } from '@troupe/core'
import { type Benchmark, BenchmarkError } from '../benchmark.js'
import { countOf } from '../numbers.js'
import { pipeline } from './pipeline.js'

/** Plans of two workers beside one, each with one thread, in the same run: the medians of runs that take turns. */
export const parallel: Benchmark = {
  name: 'parallel',
  summary: 'plans of two workers beside one, of --model PATH',
  options: { model: { type: 'string' }, runs: { type: 'string', default: '3' } },
  async *run(values) {
    if (typeof values.model !== 'string') throw new BenchmarkError('expected --model PATH')
    await using cluster = await connect()
    yield* pipeline(cluster, { model: values.model, runs: countOf(values, 'runs') })
  },
}
