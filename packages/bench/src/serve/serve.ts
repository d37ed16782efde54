import { readConfig } from '@troupe/llm'
import { type Benchmark, BenchmarkError } from '../benchmark.js'
import { countOf } from '../numbers.js'
import { Client } from './client.js'
import { arrival, type Sizes, sharedPrefix, throughput } from './loads.js'
import { overload } from './overload.js'
import { Prompts } from './prompts.js'
import { MeasuredServer } from './server.js'

const count = (value: number) => ({ type: 'string', default: String(value) }) as const

/** The HTTP server under clients that are all processes of this one: output, times to the first token, and overload. */
export const serve: Benchmark = {
  name: 'serve',
  summary: 'the HTTP server of --model PATH under clients, and with --overload SECONDS under too many',
  options: {
    model: { type: 'string' },
    url: { type: 'string' },
    clients: count(16),
    rounds: count(2),
    prompt: count(128),
    output: count(64),
    'long-prompt': count(4096),
    shared: count(1000),
    overload: count(0),
    'max-queue': count(64),
    serve: { type: 'string', default: '' },
  },
  async *run(values) {
    const { model, url } = values
    if (typeof model !== 'string') throw new BenchmarkError('expected --model PATH')
    const sizes: Sizes = {
      ...{ clients: countOf(values, 'clients'), rounds: countOf(values, 'rounds') },
      ...{ prompt: countOf(values, 'prompt'), output: countOf(values, 'output') },
      ...{ long: countOf(values, 'long-prompt'), shared: countOf(values, 'shared') },
    }
    const seconds = countOf(values, 'overload', 0)
    const maxQueue = countOf(values, 'max-queue')
    const { contextLength, vocabularySize } = readConfig(model)
    const needed = Math.max(sizes.long + 2, sizes.shared + 17, sizes.prompt + sizes.output)
    if (needed > contextLength) {
      throw new BenchmarkError(
        `${model} has a context of ${contextLength} tokens, ${needed} are needed; lower --long-prompt and --shared`,
      )
    }
    const options = ['--max-queue', String(maxQueue), ...String(values.serve).split(' ').filter(Boolean)]
    const server = typeof url === 'string' ? MeasuredServer.at(url) : await MeasuredServer.start(model, options)
    try {
      const client = await Client.of(server.url)
      try {
        const prompts = new Prompts(vocabularySize)
        await client.answer(prompts.next(sizes.prompt), sizes.output)
        yield* throughput(client, prompts, sizes)
        yield* sharedPrefix(client, prompts, sizes)
        // Another server does not say how many steps it takes.
        if (url === undefined) yield* arrival(server, client, prompts, sizes)
        if (seconds > 0) yield* overload(server, client, prompts, sizes, seconds)
      } finally {
        client.close()
      }
    } finally {
      await server.stop()
    }
  },
}
