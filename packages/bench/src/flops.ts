import { multiplyAddRate } from '@troupe/native'
import type { Benchmark } from './benchmark.js'
import { countOf } from './numbers.js'

/** How many float32 operations threads together do in independent multiply-adds, two each: what bounds prefill. */
export const flops: Benchmark = {
  name: 'flops',
  summary: 'float32 multiply-add rate of --threads threads',
  options: { threads: { type: 'string', default: '2' } },
  async *run(values) {
    yield { name: 'multiply-add', unit: 'GFLOP/s', value: (2 * multiplyAddRate(countOf(values, 'threads'))) / 1e9 }
  },
}
