import { ActorDiedError, connect } from '@troupe/core'
import { Engine, type GeneratedToken } from '@troupe/llm'
import test from 'ava'
import { tales } from './support/models.js'
import { ProcessGuard } from './support/processes.js'

const prompt = Array.from({ length: 300 }, (_, i) => 3 + ((i * 37) % 900))

async function collect(stream: AsyncIterable<GeneratedToken>): Promise<GeneratedToken[]> {
  const tokens: GeneratedToken[] = []
  for await (const token of stream) tokens.push(token)
  return tokens
}

test.serial(
  'a long prompt gives the same logits however it is cut into chunks, stages, shards and ranks',
  async (t) => {
    new ProcessGuard(t)
    const cluster = await connect()
    const asked = { maxTokens: 8, stopAtEnd: false, wantLogits: true }
    const plans = [
      { plan: {}, chunkTokens: 512 },
      { plan: {}, chunkTokens: 37 },
      { plan: { pipeline: 3 }, chunkTokens: 64 },
      { plan: { pipeline: 2, tensor: 3 }, chunkTokens: 100 },
      { plan: { tensor: 2, sequence: 3 }, chunkTokens: 41 },
      { plan: { sequence: 8 }, chunkTokens: 7 },
    ]
    let expected: GeneratedToken[] | undefined
    for (const options of plans) {
      const engine = await Engine.start(cluster, { model: tales, contextLength: 400, ...options })
      const found = await collect(engine.generate(prompt, asked))
      expected ??= found
      t.deepEqual(
        found.map(({ token }) => token),
        expected.map(({ token }) => token),
        JSON.stringify(options),
      )
      const logits = expected[0]!.logits!
      const worst = Math.max(...found[0]!.logits!.map((logit, i) => Math.abs(logit - logits[i]!)))
      t.true(worst < 1e-3, `${JSON.stringify(options)}: ${worst}`)
      await engine.stop()
    }
    await cluster.shutdown()
  },
)

test.serial('texts asked for at once are generated together, each as if alone', async (t) => {
  new ProcessGuard(t)
  const cluster = await connect()
  const engine = await Engine.start(cluster, { model: tales, plan: { tensor: 2 }, contextLength: 400 })
  const ask = (length: number) => collect(engine.generate(prompt.slice(0, length), { maxTokens: 6, stopAtEnd: false }))
  const alone = [await ask(5), await ask(50), await ask(17)]
  t.deepEqual(await Promise.all([ask(5), ask(50), ask(17)]), alone)
  await engine.stop()
  await cluster.shutdown()
})

test.serial(
  'draws are spread evenly from the first one on: what is likely comes often, whatever the seeds',
  async (t) => {
    new ProcessGuard(t)
    const cluster = await connect()
    const engine = await Engine.start(cluster, { model: tales, contextLength: 400 })
    const drawn = new Map<number, number>()
    let logits: Float32Array | undefined
    for (let seed = 0; seed < 200; seed++) {
      const [first] = await collect(
        engine.generate(prompt.slice(0, 5), { maxTokens: 1, temperature: 2, seed, stopAtEnd: false, wantLogits: true }),
      )
      logits ??= first!.logits!
      drawn.set(first!.token, (drawn.get(first!.token) ?? 0) + 1)
    }
    const weights = logits!.map((logit) => Math.exp(logit / 2))
    const total = weights.reduce((a, b) => a + b)
    // The ten likeliest tokens together are drawn as often as their probability says, within 4 standard deviations.
    const likeliest = [...weights.keys()].sort((a, b) => weights[b]! - weights[a]!).slice(0, 10)
    const expected = likeliest.reduce((sum, token) => sum + weights[token]! / total, 0)
    const found = likeliest.reduce((sum, token) => sum + (drawn.get(token) ?? 0), 0) / 200
    t.true(
      Math.abs(found - expected) < 4 * Math.sqrt((expected * (1 - expected)) / 200),
      `${found}, expected ${expected}`,
    )
    await engine.stop()
    await cluster.shutdown()
  },
)

test.serial('a reader that stops early lets the next text begin', async (t) => {
  new ProcessGuard(t)
  const cluster = await connect()
  const engine = await Engine.start(cluster, { model: tales, contextLength: 400 })
  for await (const _ of engine.generate(prompt, { maxTokens: 90, stopAtEnd: false })) break
  t.is((await collect(engine.generate(prompt, { maxTokens: 3, stopAtEnd: false }))).length, 3)
  await engine.stop()
  await cluster.shutdown()
})

test.serial('generation ends where the context is full', async (t) => {
  new ProcessGuard(t)
  const cluster = await connect()
  const engine = await Engine.start(cluster, { model: tales, plan: { sequence: 2 }, contextLength: 310 })
  t.is((await collect(engine.generate(prompt, { maxTokens: 90, stopAtEnd: false }))).length, 10)
  await engine.stop()
  await cluster.shutdown()
})

test.serial(
  'a worker that dies between two texts fails the next one, and the cluster can run another engine',
  async (t) => {
    new ProcessGuard(t)
    const cluster = await connect()
    const engine = await Engine.start(cluster, { model: tales, plan: { pipeline: 2 }, contextLength: 400 })
    await collect(engine.generate(prompt, { maxTokens: 2, stopAtEnd: false }))
    process.kill(engine.workers[1]!.pid, 'SIGKILL')
    await t.throwsAsync(collect(engine.generate(prompt, { maxTokens: 2 })), {
      instanceOf: ActorDiedError,
      message: /ModelWorker\[pipeline=1/,
    })
    const second = await Engine.start(cluster, { model: tales, contextLength: 400 })
    t.is((await collect(second.generate(prompt, { maxTokens: 2, stopAtEnd: false }))).length, 2)
    await cluster.shutdown()
  },
)
