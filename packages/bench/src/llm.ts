import { BlockAllocator, type ModelConfig, ModelWorker, readConfig, SequenceState } from '@troupe/llm'
import { type Benchmark, BenchmarkError, type Figure } from './benchmark.js'
import { countOf } from './numbers.js'

const BLOCK_TOKENS = 16
const GREEDY = { temperature: 0, topK: 0, topP: 1 }
const ALONE = { pipeline: 1, tensor: 1, sequence: 1 }
const FIRST = { pipeline: 0, tensor: 0, sequence: 0 }

/** Prefill and decoding of one text by one model worker in this process: the best of several runs. */
export const llm: Benchmark = {
  name: 'llm',
  summary: 'prefill and decode speed of --model PATH',
  options: {
    model: { type: 'string' },
    threads: { type: 'string', default: '2' },
    prefill: { type: 'string', default: '512' },
    decode: { type: 'string', default: '64' },
    chunk: { type: 'string', default: '512' },
    runs: { type: 'string', default: '3' },
  },
  async *run(values) {
    if (typeof values.model !== 'string') throw new BenchmarkError('expected --model PATH')
    const [prefill, decode] = [countOf(values, 'prefill'), countOf(values, 'decode')]
    const text = new Text(values.model, prefill + decode, countOf(values, 'chunk'), countOf(values, 'threads'))
    await text.load()
    let best = { prefill: 0, decode: 0 }
    for (let run = 0; run < countOf(values, 'runs'); run++) {
      const speeds = await text.measure(prefill, decode)
      best = { prefill: Math.max(best.prefill, speeds.prefill), decode: Math.max(best.decode, speeds.decode) }
    }
    yield* Object.entries(best).map(([name, value]): Figure => ({ name, unit: 'tok/s', value }))
  },
}

/** A worker and one text that it continues. */
class Text {
  readonly #worker: ModelWorker
  readonly #blocks: BlockAllocator
  readonly #config: ModelConfig

  constructor(
    model: string,
    tokens: number,
    private readonly chunk: number,
    threads: number,
  ) {
    const cacheBlocks = Math.ceil((tokens + 1) / BLOCK_TOKENS)
    const limits = { tokens: chunk, queries: chunk, sequences: 1, outputs: 1, blocksPerSequence: cacheBlocks }
    const place = {
      communication: 'float32' as const,
      plan: ALONE,
      coordinates: FIRST,
      token: '',
      names: ['bench'],
      acrossNodes: false,
      spin: true,
    }
    this.#worker = new ModelWorker({ ...place, model, threads, cacheBlocks, blockTokens: BLOCK_TOKENS, limits })
    this.#blocks = new BlockAllocator(cacheBlocks)
    this.#config = readConfig(model)
  }

  async load(): Promise<void> {
    await this.#worker.load({})
  }

  /** Tokens per second. */
  async measure(prefill: number, decode: number): Promise<{ prefill: number; decode: number }> {
    const prompt = Array.from({ length: prefill }, (_, i) => (1 + i * 7919) % this.#config.vocabularySize)
    const sequence = new SequenceState([this.#blocks], BLOCK_TOKENS, this.#config.slidingWindow)
    const step = (ids: readonly number[], last: boolean) =>
      this.#worker.step(sequence.append(ids, last ? 'last' : 'none'), GREEDY, 0, false)
    try {
      const start = performance.now()
      let token = 0
      for (let done = 0; done < prefill; done += this.chunk) {
        const result = await step(prompt.slice(done, done + this.chunk), done + this.chunk >= prefill)
        token = result?.token ?? 0
      }
      const first = performance.now()
      for (let i = 0; i < decode; i++) token = (await step([token], true))!.token
      const end = performance.now()
      return { prefill: (prefill * 1000) / (first - start), decode: (decode * 1000) / (end - first) }
    } finally {
      sequence.release()
    }
  }
}
