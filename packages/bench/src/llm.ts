import {
  BlockPool,
  CachedSequence,
  greedyStep,
  type ModelConfig,
  ModelWorker,
  readConfig,
  stageSpec,
} from '@troupe/llm'
import { CACHE_TYPES, type CacheType } from '@troupe/tensor'
import { type Benchmark, BenchmarkError, type Figure } from './benchmark.js'
import { countOf } from './numbers.js'

/** Prefill and decoding of one text by one model worker in this process: the best of several runs. */
export const llm: Benchmark = {
  name: 'llm',
  summary: 'prefill and decode speed of --model PATH: [--profile: where the time goes]',
  options: {
    model: { type: 'string' },
    threads: { type: 'string', default: '2' },
    prefill: { type: 'string', default: '512' },
    decode: { type: 'string', default: '64' },
    chunk: { type: 'string', default: '512' },
    runs: { type: 'string', default: '3' },
    'cache-type': { type: 'string' },
    profile: { type: 'boolean' },
  },
  async *run(values) {
    if (typeof values.model !== 'string') throw new BenchmarkError('expected --model PATH')
    const [prefill, decode] = [countOf(values, 'prefill'), countOf(values, 'decode')]
    const wanted = values['cache-type']
    const cacheType = CACHE_TYPES.find((type) => type === wanted)
    if (wanted !== undefined && !cacheType)
      throw new BenchmarkError(`--cache-type must be one of ${CACHE_TYPES.join(', ')}`)
    const workload = { tokens: prefill + decode, chunk: countOf(values, 'chunk') }
    const text = new Text(values.model, workload, countOf(values, 'threads'), cacheType)
    await text.load()
    let best = { prefill: 0, decode: 0 }
    for (let run = 0; run < countOf(values, 'runs'); run++) {
      const speeds = await text.measure(prefill, decode)
      best = { prefill: Math.max(best.prefill, speeds.prefill), decode: Math.max(best.decode, speeds.decode) }
    }
    yield* Object.entries(best).map(([name, value]): Figure => ({ name, unit: 'tok/s', value }))
    if (!values.profile) return
    yield* await text.profile('prefill', prefill, 1)
    yield* await text.profile('decode', prefill, decode)
  },
}

/** A worker and one text that it continues. */
class Text {
  readonly #chunk: number
  readonly #worker: ModelWorker
  readonly #pool: BlockPool
  readonly #config: ModelConfig

  constructor(
    model: string,
    { tokens, chunk }: { tokens: number; chunk: number },
    threads: number,
    cacheType?: CacheType,
  ) {
    this.#chunk = chunk
    this.#config = readConfig(model)
    const spec = stageSpec(model, {}, { tokens: chunk, contextLength: tokens + 1 })
    this.#worker = new ModelWorker({ ...spec, threads, spin: true, ...(cacheType ? { cacheType } : {}) })
    this.#pool = new BlockPool(1, spec.cacheBlocks, spec.blockTokens)
  }

  async load(): Promise<void> {
    await this.#worker.load({})
  }

  /** Tokens per second. */
  async measure(prefill: number, decode: number): Promise<{ prefill: number; decode: number }> {
    const [start, first, end] = await this.#run(prefill, decode, () => performance.now())
    return { prefill: (prefill * 1000) / (first - start), decode: (decode * 1000) / (end - first) }
  }

  /**
   * Where the time of prefill, or of the steps of decoding, goes: of each kind of operation the microseconds a step and the rate at
   * which it passed over its operands, the slowest first, and then what was spent outside of operations.
   */
  async profile(part: 'prefill' | 'decode', prefill: number, decode: number): Promise<Figure[]> {
    const [start, first, end] = await this.#run(prefill, decode, () => ({
      time: performance.now(),
      operations: this.#worker.profile(),
    }))
    const [from, to] = part === 'prefill' ? [start, first] : [first, end]
    const steps = part === 'prefill' ? Math.ceil(prefill / this.#chunk) : decode
    const kinds = new Map<string, { milliseconds: number; bytes: number }>()
    let outside = to.time - from.time
    for (const [i, { operation, columnsIn, columnsOut, milliseconds, bytes }] of to.operations.entries()) {
      const before = from.operations[i]!
      const name = operation === 'linear' ? `linear ${columnsIn} to ${columnsOut}` : operation
      const kind = kinds.get(name) ?? { milliseconds: 0, bytes: 0 }
      kind.milliseconds += milliseconds - before.milliseconds
      kind.bytes += bytes - before.bytes
      kinds.set(name, kind)
      outside -= milliseconds - before.milliseconds
    }
    const figures = [...kinds].sort(([, a], [, b]) => b.milliseconds - a.milliseconds)
    return [
      ...figures.flatMap(([name, { milliseconds, bytes }]): Figure[] => [
        { name: `${part}: ${name}`, unit: 'us', value: (1000 * milliseconds) / steps },
        { name: `${part}: ${name}, bytes`, unit: 'GB/s', value: bytes / milliseconds / 1e6 },
      ]),
      { name: `${part}: outside of operations`, unit: 'us', value: (1000 * outside) / steps },
    ]
  }

  /** Reads the prompt and decodes, and calls `look` before, between and after. */
  async #run<T>(prefill: number, decode: number, look: () => T): Promise<readonly [T, T, T]> {
    const prompt = Array.from({ length: prefill }, (_, i) => (1 + i * 7919) % this.#config.vocabularySize)
    const cached = new CachedSequence(this.#pool, 0)
    const step = (ids: readonly number[], last: boolean) =>
      this.#worker.step(greedyStep([{ cached, ids, outputs: last ? 'last' : 'none' }], this.#config.slidingWindow))
    try {
      const start = look()
      let token = 0
      for (let done = 0; done < prefill; done += this.#chunk) {
        const result = await step(prompt.slice(done, done + this.#chunk), done + this.#chunk >= prefill)
        token = result?.tokens[0] ?? 0
      }
      const first = look()
      for (let i = 0; i < decode; i++) token = (await step([token], true))!.tokens[0]!
      return [start, first, look()]
    } finally {
      cached.release()
    }
  }
}
