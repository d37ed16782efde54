import { readRate } from '@troupe/native'
import type { Benchmark } from './benchmark.js'
import { countOf } from './numbers.js'

/** The rate at which threads together read memory that no cache holds: the bound of decoding. */
export const memory: Benchmark = {
  name: 'memory',
  summary: 'read bandwidth of --threads threads',
  options: { threads: { type: 'string', default: '2' }, megabytes: { type: 'string', default: '1024' } },
  async *run(values) {
    const bytes = countOf(values, 'megabytes') * 2 ** 20
    yield { name: 'read', unit: 'GB/s', value: readRate(bytes, countOf(values, 'threads')) / 1e9 }
  },
}
