import { multiplyAddRate } from '@troupe/native'
import type { Benchmark } from './benchmark.js'
import { countOf } from './numbers.js'

/** The rate of float32 operations of threads together in independent multiply-adds, two each: the bound of prefill. */
export const flops: Benchmark = {
  name: 'flops',
  summary: 'float32 multiply-add rate of --threads threads',
  options: { threads: { type: 'string', default: '2' } },
  async *run(values) {
    yield { name: 'multiply-add', unit: 'GFLOP/s', value: (2 * multiplyAddRate(countOf(values, 'threads'))) / 1e9 }
  },
}
