import { addTime, pageCosts, readRate } from '@troupe/native'
import type { Benchmark } from './benchmark.js'
import { countOf } from './numbers.js'

/**
 * The rate at which threads together read memory that no cache holds, which is the bound of decoding; how long they take to
 * add two arrays of `--size` mebibytes into a third, which large collectives are held against; and what a page of shared
 * memory costs.
 */
export const memory: Benchmark = {
  name: 'memory',
  summary: 'read bandwidth and addition of --threads threads, and what pages cost',
  options: {
    threads: { type: 'string', default: '2' },
    megabytes: { type: 'string', default: '1024' },
    size: { type: 'string', default: '64' },
  },
  async *run(values) {
    const bytes = countOf(values, 'megabytes') * 2 ** 20
    const size = countOf(values, 'size') * 2 ** 20
    const threads = countOf(values, 'threads')
    yield { name: 'read', unit: 'GB/s', value: readRate(bytes, threads) / 1e9 }
    yield { name: `add.${size}`, unit: 'us', value: addTime(size, threads) * 1e6 }
    for (const [name, seconds] of Object.entries(pageCosts(size)))
      yield { name: `page.${name}`, unit: 'us', value: seconds * 1e6 }
  },
}
