import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { connect, InvalidInputError } from '@troupe/core'
import {
  Engine,
  type EngineOptions,
  type GeneratedToken,
  type GenerateOptions,
  LogitsError,
  readConfig,
} from '@troupe/llm'
import test from 'ava'
import { referenceModels, tales } from './support/models.js'
import { ProcessGuard } from './support/processes.js'
import { changeTensor } from './support/safetensors.js'

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

test.serial('texts asked for at once are generated together, each as if alone, drawn ones too', async (t) => {
  new ProcessGuard(t)
  await using cluster = await connect()
  for (const plan of [{}, { pipeline: 2 }, { pipeline: 3 }]) {
    const engine = await Engine.start(cluster, { model: tales, plan, contextLength: 400, threads: 1 })
    const ask = (length: number, temperature = 0) =>
      collect(
        engine.generate(prompt.slice(0, length), { maxTokens: 12, stopAtEnd: false, temperature, seed: 7, topP: 0.9 }),
      )
    const asked = [() => ask(5), () => ask(250), () => ask(17), () => ask(100, 0.8), () => ask(260), () => ask(3, 1)]
    const alone: GeneratedToken[][] = []
    for (const one of asked) alone.push(await one())
    t.deepEqual(await Promise.all(asked.map((one) => one())), alone, JSON.stringify(plan))
    await engine.stop()
  }
})

test.serial('requests that do not fit wait their turn, and those that nobody wants any more make room', async (t) => {
  new ProcessGuard(t)
  await using cluster = await connect()
  const options = { plan: { pipeline: 2 }, contextLength: 400, cacheTokens: 400, maxSequences: 3 }
  const engine = await Engine.start(cluster, { model: tales, ...options })
  const { layers, keyValueHeads, headSize } = engine.config
  const tokenBytes = 2 * layers * keyValueHeads * headSize * Float32Array.BYTES_PER_ELEMENT
  for (const { kvBytes } of engine.workers) t.true(kvBytes <= ((400 + 16) * tokenBytes) / 2)
  const asked = { maxTokens: 90, stopAtEnd: false }
  const first = engine.generate(prompt, asked)
  await first.next()
  const second = engine.generate(prompt, asked)
  const waiting = second.next()
  const third = collect(engine.generate(prompt, { ...asked, maxTokens: 4 }))
  // The second waits for the first, and the third for the second.
  await second.return()
  t.deepEqual(await waiting, { value: undefined, done: true })
  await first.return()
  t.is((await third).length, 4)
  const many = Array.from({ length: 9 }, (_, i) => collect(engine.generate(prompt.slice(0, 20 + i), asked)))
  t.deepEqual(
    (await Promise.all(many)).map((tokens) => tokens.length),
    Array(9).fill(90),
  )
  await engine.stop()
})

test.serial('a prompt that cannot be used fails alone', async (t) => {
  new ProcessGuard(t)
  await using cluster = await connect()
  const engine = await Engine.start(cluster, { model: tales, contextLength: 400 })
  const asked = { maxTokens: 20, stopAtEnd: false }
  const good = collect(engine.generate(prompt, asked))
  await t.throwsAsync(collect(engine.generate([1, -4], asked)), { message: /token -4 is not in the vocabulary/ })
  await t.throwsAsync(collect(engine.generate([], asked)), { message: /the prompt is empty/ })
  const refused: [prompt: unknown, options: object, says: RegExp][] = [
    ['Once', {}, /the prompt must be a list of token ids; .*encode\(text\).*; found "Once"/],
    [[1], { maxTokens: undefined }, /maxTokens must be .*; found undefined/],
    [[1], { maxTokens: 1.5 }, /maxTokens must be .*; found 1\.5/],
    [[1], { temperature: -1 }, /temperature must be a number of at least 0; found -1/],
    [[1], { temperature: Number.NaN }, /temperature must be .*; found NaN/],
    [[1], { temperature: 1e39 }, /temperature must be .*; found 1e\+39/],
    [[1], { topK: -1 }, /topK must be a whole number of at least 0; found -1/],
    [[1], { topP: 7 }, /topP must be a number above 0, and at most 1; found 7/],
    [[1], { seed: 0.5 }, /seed must be a whole number; found 0\.5/],
    [[1], { tempature: 1 }, /tempature is no option; expected .*temperature/],
  ]
  for (const [wrong, options, message] of refused) {
    const stream = engine.generate(wrong as number[], { ...asked, ...options } as GenerateOptions)
    await t.throwsAsync(collect(stream), { instanceOf: InvalidInputError, message })
  }
  t.is((await good).length, 20)
  const large = { maxTokens: 8, stopAtEnd: false, temperature: 1, topK: 2 ** 32 + 1 }
  const texts = [7, 7 + 2 ** 32, 7].map((seed) => collect(engine.generate(prompt, { ...large, seed })))
  const [first, second, again] = await Promise.all(texts)
  t.deepEqual(first, again)
  t.notDeepEqual(first, second, 'seeds of more than 32 bits count as a whole, and topK does not wrap')
  await engine.stop()
})

test.serial('options of an engine that are none, or cannot be, are refused by name', async (t) => {
  new ProcessGuard(t)
  await using cluster = await connect()
  const refused: [options: object, says: RegExp][] = [
    [{ plan: { pipelin: 2 } }, /pipelin is no dimension of the plan; expected pipeline, tensor, sequence/],
    [{ plan: 'best' }, /plan must be 'auto' or sizes of its dimensions; found "best"/],
    [{ plan: { tensor: 99 } }, /99 tensor shards, but the model has 8 attention heads; use 8 or less/],
    [{ thread: 2 }, /thread is no option/],
    [{ threads: 0 }, /threads must be a whole number of at least 1; found 0/],
    [{ maxSequences: 2.5 }, /maxSequences must be .*; found 2\.5/],
    [{ cacheType: 'int4' }, /cacheType must be one of .*; found "int4"/],
    [{ weights: 'q3' }, /weights must be one of Q8_0, Q4_0; found "q3"/],
    [{ model: 5 }, /model must be the path of a model; found 5/],
  ]
  for (const [options, message] of refused) {
    const start = () => Engine.start(cluster, { model: tales, ...options } as EngineOptions)
    await t.throwsAsync(start, { instanceOf: InvalidInputError, message })
  }
})

test.serial('logits that are no numbers fail the text that they are of, under every plan, and no other', async (t) => {
  const guard = new ProcessGuard(t)
  const folder = mkdtempSync(join(tmpdir(), 'troupe-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  cpSync(referenceModels().find(({ name }) => name === 'llama')!.folder, folder, { recursive: true })
  const BROKEN = 300
  changeTensor(join(folder, 'model.safetensors'), 'model.embed_tokens.weight', (values, [, hidden]) => {
    values.fill(Number.NaN, BROKEN * hidden!, (BROKEN + 1) * hidden!)
  })
  await using cluster = await connect()
  for (const plan of [{}, { pipeline: 2 }, { tensor: 2 }, { sequence: 2 }]) {
    const engine = await Engine.start(cluster, { model: folder, plan, scoring: true, contextLength: 64, threads: 1 })
    const good = collect(engine.generate([1, 5, 9], { maxTokens: 5, stopAtEnd: false }))
    const bad = collect(engine.generate([1, 5, BROKEN, 9], { maxTokens: 5 }))
    const error = await t.throwsAsync(bad, { instanceOf: LogitsError, message: /position 3 are not numbers/ })
    t.is((error as LogitsError).position, 3, JSON.stringify(plan))
    await t.throwsAsync(engine.score([1, 5, BROKEN, 9, 11]), { instanceOf: LogitsError, message: /position 2 are not/ })
    t.is((await good).length, 5)
    t.is((await engine.score([1, 5, 9])).length, 2)
    await engine.stop()
  }
  const said = await guard.troupe('generate', '--model', folder, '--tokens', `1,${BROKEN}`).finished
  t.is(said.status, 1)
  t.regex(said.stderr, /^error: the logits after the token at position 1 are not numbers: [^\n]*\n$/)
})

test.serial('replicas share the requests, and one whose worker dies loses none', async (t) => {
  new ProcessGuard(t)
  await using cluster = await connect()
  const engine = await Engine.start(cluster, { model: tales, replicas: 2, contextLength: 400, threads: 1 })
  const ask = () => collect(engine.generate(prompt, { maxTokens: 5, stopAtEnd: false }))
  const other = collect(engine.generate(prompt.toReversed(), { maxTokens: 5, stopAtEnd: false }))
  const [one] = await Promise.all([ask(), other])
  const { elapsed, stages } = await engine.statistics()
  t.true(elapsed.length === 2 && elapsed.every((milliseconds) => milliseconds > 0))
  t.true(stages.every(({ busy }) => busy > 0))
  const dying = engine.workers.find(({ replica }) => replica === 0)!
  process.kill(dying.pid, 'SIGKILL')
  t.deepEqual(await Promise.all([ask(), ask(), ask()]), [one, one, one])
  for (let asked = 0; engine.workers.some(({ pid }) => pid === dying.pid); asked++) {
    t.true(asked < 3000)
    t.deepEqual(await ask(), one)
    await delay(10)
  }
  t.is(engine.workers.length, 2)
  await engine.stop()
})

test.serial('layers are divided as they are asked for, and the stages say what they spend their time on', async (t) => {
  new ProcessGuard(t)
  await using cluster = await connect()
  const engine = await Engine.start(cluster, {
    model: tales,
    plan: { pipeline: 2 },
    layers: [1, readConfig(tales).layers - 1],
    contextLength: 400,
  })
  t.deepEqual(engine.workers[0]!.layers, { start: 0, end: 1 })
  await Promise.all([1, 2, 3].map(() => collect(engine.generate(prompt, { maxTokens: 20, stopAtEnd: false }))))
  const { bubble, elapsed, stages } = await engine.statistics()
  t.true(bubble > 0 && bubble < 1)
  for (const { busy, waiting, transfer } of stages) {
    t.true(busy > 0 && transfer >= 0 && waiting >= 0)
    t.true(busy + transfer + waiting >= elapsed[0]! * 0.999)
  }
  await engine.stop()
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
  'a worker that dies between two texts is replaced, and one that dies with the cluster fails the text',
  async (t) => {
    new ProcessGuard(t)
    const cluster = await connect()
    const engine = await Engine.start(cluster, { model: tales, plan: { pipeline: 2 }, contextLength: 400 })
    const ask = (maxTokens: number) => collect(engine.generate(prompt, { maxTokens, stopAtEnd: false }))
    const text = await ask(20)
    const before = engine.workers.map(({ pid }) => pid)
    process.kill(before[1]!, 'SIGKILL')
    t.deepEqual(await ask(20), text)
    t.true(engine.workers.every(({ pid }) => !before.includes(pid)))
    const second = await Engine.start(cluster, { model: tales, contextLength: 400 })
    t.is((await collect(second.generate(prompt, { maxTokens: 2, stopAtEnd: false }))).length, 2)
    const underWay = ask(300)
    await ask(2)
    const failing = t.throwsAsync(underWay)
    await cluster.shutdown()
    await failing
  },
)
