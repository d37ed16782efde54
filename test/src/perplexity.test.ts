import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from '@troupe/core'
import { Engine, perplexity, readConfig, Tokenizer } from '@troupe/llm'
import { CACHE_TYPES, cacheBytes } from '@troupe/tensor'
import test from 'ava'
import { generate, planName } from './support/generate.js'
import { tales } from './support/models.js'
import { ProcessGuard } from './support/processes.js'

const heldOut = join(tales, 'heldout.txt')

test.serial('on held-out text, perplexity rises by at most 1 % at Q8_0 and 8 % at Q4_0', async (t) => {
  const guard = new ProcessGuard(t)
  const measure = async (...flags: string[]) => {
    const common = ['--model', tales, '--text', heldOut, '--max-tokens', '6144', '--json']
    const end = await guard.troupe('perplexity', ...common, ...flags).finished
    t.is(end.status, 0, end.stderr)
    const found = JSON.parse(end.stdout)
    t.is(found.tokens, 6144 - 12)
    return found.perplexity as number
  }
  const asStored = await measure()
  t.true(asStored > 1 && asStored < 4, `${asStored}`)
  const [q8, q4] = [await measure('--weights', 'q8_0'), await measure('--weights', 'q4_0', '--tensor', '2')]
  t.true(q8 !== asStored && q8 <= asStored * 1.01, `${q8}, as stored ${asStored}`)
  t.true(q4 > q8 && q4 <= asStored * 1.08, `${q4}, as stored ${asStored}`)
})

test.serial('a text is as likely under every plan, and as the logits after each of its tokens say', async (t) => {
  new ProcessGuard(t)
  await using cluster = await connect()
  const tokens = (await (await Tokenizer.open(tales))!.encode(readFileSync(heldOut, 'utf8'))).slice(0, 50)
  const scores: number[][] = []
  for (const [pipeline, tensor, sequence] of [
    [1, 1, 1],
    [2, 1, 2],
    [1, 3, 1],
  ] as const) {
    const plan = { pipeline, tensor, sequence }
    const engine = await Engine.start(cluster, {
      model: tales,
      plan,
      contextLength: 64,
      chunkTokens: 20,
      scoring: true,
    })
    scores.push(await engine.score(tokens))
    if (scores.length === 1) {
      for await (const { logits } of engine.generate(tokens.slice(0, -1), { maxTokens: 1, wantLogits: true })) {
        const total = logits!.reduce((sum, logit) => sum + Math.exp(logit), 0)
        t.true(Math.abs(scores[0]!.at(-1)! - Math.log(Math.exp(logits![tokens.at(-1)!]!) / total)) < 1e-4)
      }
    }
    await engine.stop()
  }
  for (const found of scores) {
    t.is(found.length, 49)
    t.true(found.every((score, i) => score <= 0 && Math.abs(score - scores[0]![i]!) < 1e-4))
  }
})

test.serial('weights quantized when they are loaded give nearly the same logits under every plan', async (t) => {
  const guard = new ProcessGuard(t)
  // Activations are rounded to 8 bits before products, so that sums in another order can differ by a rounding step: over twelve prompts
  // like this one and five plans, logits of 4-bit weights moved by 0.24 at most.
  const tolerance = 0.25
  const prompt = Array.from({ length: 40 }, (_, i) => 3 + ((i * 37) % 900))
  for (const weights of ['q8_0', 'q4_0']) {
    const asked = [
      '--tokens',
      prompt.join(),
      '--max-tokens',
      '1',
      '--temperature',
      '0',
      '--weights',
      weights,
      '--logits',
    ]
    const { logits } = await generate(guard, tales, { pipeline: 1, tensor: 1, sequence: 1 }, ...asked)
    for (const plan of [
      { pipeline: 1, tensor: 3, sequence: 1 },
      { pipeline: 2, tensor: 2, sequence: 2 },
    ]) {
      const found = await generate(guard, tales, plan, ...asked)
      const worst = Math.max(...found.logits!.map((logit, i) => Math.abs(logit - logits![i]!)))
      t.true(worst <= tolerance, `${weights} ${planName(plan)}: logits differ by ${worst}`)
    }
  }
})

test.serial('perplexity stays within 0.3 % where tensor shards send bfloat16 or int8', async (t) => {
  new ProcessGuard(t)
  await using cluster = await connect()
  const tokens = (await (await Tokenizer.open(tales))!.encode(readFileSync(heldOut, 'utf8'))).slice(0, 1024)
  const found: number[] = []
  for (const communication of ['float32', 'bfloat16', 'int8'] as const) {
    const common = { model: tales, plan: { tensor: 2 }, contextLength: 512, scoring: true }
    const engine = await Engine.start(cluster, { ...common, communication })
    found.push((await perplexity(engine, tokens, 512)).perplexity)
    await engine.stop()
  }
  const [exact, ...rounded] = found
  t.is(new Set(found).size, 3)
  for (const each of rounded) t.true(Math.abs(each / exact! - 1) < 3e-3, `${each}, exactly ${exact}`)
})

test.serial('troupe perplexity --communication says what shards send', async (t) => {
  const guard = new ProcessGuard(t)
  const ask = ['perplexity', '--model', tales, '--text', heldOut, '--max-tokens', '256', '--tensor', '2', '--json']
  const measured = async (type: string) => {
    const { status, stdout, stderr } = await guard.troupe(...ask, '--communication', type).finished
    t.is(status, 0, stderr)
    return (JSON.parse(stdout) as { perplexity: number }).perplexity
  }
  const exact = await measured('float32')
  const rounded = await measured('int8')
  t.true(rounded !== exact && Math.abs(rounded / exact - 1) < 3e-3, `${rounded}, exactly ${exact}`)
  const refused = await guard.troupe(...ask, '--communication', 'int4').finished
  t.is(refused.status, 2)
  t.is(refused.stderr, 'error: --communication must be float32, bfloat16, int8; found int4\n')
  const elsewhere = await guard.troupe(...ask, '--device', 'cuda').finished
  t.is(elsewhere.stderr, 'error: --device must be cpu, webgpu; found cuda\n')
})

test.serial(
  'a KV cache in fewer bits takes less memory, and perplexity stays within 0.3 % of that with a cache in float32',
  async (t) => {
    new ProcessGuard(t)
    await using cluster = await connect()
    const tokens = (await (await Tokenizer.open(tales))!.encode(readFileSync(heldOut, 'utf8'))).slice(0, 1024)
    const found: Record<string, { perplexity: number; bytes: number }> = {}
    for (const cacheType of CACHE_TYPES) {
      const common = { model: tales, plan: { sequence: 2 }, contextLength: 512, maxSequences: 1, scoring: true }
      const engine = await Engine.start(cluster, { ...common, cacheType })
      const measured = await perplexity(engine, tokens, 512)
      found[cacheType] = { perplexity: measured.perplexity, bytes: engine.workers[0]!.kvBytes }
      await engine.stop()
    }
    const { headSize } = readConfig(tales)
    for (const [type, tolerance] of [
      ['float16', 1e-5],
      ['bfloat16', 1e-3],
      ['int8', 3e-3],
    ] as const) {
      const { perplexity, bytes } = found[type]!
      const rise = perplexity / found.float32!.perplexity - 1
      t.true(rise !== 0 && Math.abs(rise) < tolerance, `${type}: ${rise}`)
      t.is(bytes / found.float32!.bytes, cacheBytes(type, headSize) / cacheBytes('float32', headSize))
    }
  },
)
