import { readFileSync } from 'node:fs'
import { ModelWorker, stageSpec } from '@troupe/llm'
import { Tensor } from '@troupe/tensor'
import { type Benchmark, BenchmarkError } from './benchmark.js'
import { countOf } from './numbers.js'

/**
 * How long one worker in this process takes to load a model, whose file the page cache has; the memory that it takes at most
 * meanwhile, in proportion to what it has in the end; and how long the process takes to touch as much new memory as its weights
 * fill, which on virtual machines, whose host has to find it, can be more than all else.
 */
export const load: Benchmark = {
  name: 'load',
  summary: 'time and peak memory of loading --model PATH with --threads N',
  options: { model: { type: 'string' }, threads: { type: 'string', default: '2' } },
  async *run(values) {
    if (typeof values.model !== 'string') throw new BenchmarkError('expected --model PATH')
    const spec = stageSpec(values.model, {}, { tokens: 16, contextLength: 32 })
    const worker = new ModelWorker({ ...spec, threads: countOf(values, 'threads'), spin: false })
    const before = memoryOf('VmRSS')
    let weightBytes = 0
    const seconds = await secondsOf(async () => {
      weightBytes = (await worker.load({})).weightBytes
    })
    const [peak, after] = [memoryOf('VmHWM') - before, memoryOf('VmRSS') - before]
    yield { name: 'load', unit: 's', value: seconds }
    yield { name: 'load.weights', unit: 'MB', value: weightBytes / 1e6 }
    yield { name: 'load.peak', unit: 'x', value: peak / after }
    const memory = Tensor.zeros('uint8', [weightBytes], { memory: 'private' })
    yield { name: 'touch', unit: 's', value: await secondsOf(() => memory.bytes.fill(1)) }
  },
}

async function secondsOf(work: () => unknown): Promise<number> {
  const started = performance.now()
  await work()
  return (performance.now() - started) / 1000
}

function memoryOf(name: 'VmRSS' | 'VmHWM'): number {
  return Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(readFileSync('/proc/self/status', 'latin1'))![1]) * 1024
}
