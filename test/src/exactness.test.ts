import { type Cluster, connect } from '@troupe/core'
import { Engine, type LoadFormat } from '@troupe/llm'
import test, { type ExecutionContext } from 'ava'
import { type Plan, planName } from './support/generate.js'
import { expectationsOf, referenceModels, stories } from './support/models.js'
import { ProcessGuard } from './support/processes.js'

const ALONE: Plan = { pipeline: 1, tensor: 1, sequence: 1 }

/** [pipeline, tensor, sequence], and what is uneven in it for a model of 5 layers with 8 query and 4 key/value heads. */
const uneven: Record<string, [number, number, number]> = {
  'shards of 1 and 2 heads, more than key/value heads': [1, 5, 1],
  'shards of 1 and 2 heads, 7 of them': [1, 7, 1],
  'stages of 1 and 2 layers': [3, 1, 1],
  'chunks of a third of the tokens': [1, 1, 3],
  'all three dimensions': [2, 2, 2],
}

/** Every plan of up to 8 workers for the models that allow it, which takes many minutes. */
const everyPlan = process.env.TROUPE_EVERY_PLAN === '1'

const numbers = [1, 2, 3, 4, 5, 6, 7, 8]
const upToEight = numbers
  .flatMap((pipeline) => numbers.flatMap((tensor) => numbers.map((sequence) => ({ pipeline, tensor, sequence }))))
  .filter(({ pipeline, tensor, sequence }) => pipeline * tensor * sequence <= 8)

test.serial('the published story and its logits come out under uneven plans as from one worker', async (t) => {
  new ProcessGuard(t)
  await using cluster = await connect()
  const [expected] = expectationsOf(stories)
  const { prompt, greedy } = expected!
  const count = everyPlan ? greedy.length : 48
  const alone = await run(cluster, stories, ALONE, prompt, greedy, count)
  t.deepEqual(alone.tokens, greedy.slice(0, count))
  const few = Object.entries(uneven).map(([why, sizes]) => ({ why, plan: planOf(sizes) }))
  const every = upToEight.filter(({ pipeline }) => pipeline <= 5).map((plan) => ({ why: 'all', plan }))
  for (const { why, plan } of everyPlan ? every : few) {
    const found = await run(cluster, stories, plan, prompt, greedy, count)
    t.deepEqual(found.tokens, alone.tokens, `${planName(plan)}: ${why}`)
    checkLogits(t, found.logits, alone.logits, 1e-3, `${planName(plan)}: ${why}`)
  }
})

for (const weights of ['Q8_0', 'Q4_0'] as const) {
  test.serial(`shards whose heads cut ${weights} blocks give the tokens of one worker`, async (t) => {
    new ProcessGuard(t)
    await using cluster = await connect()
    const [expected] = expectationsOf(stories)
    // The logits are those after one token: over more of them, sums in another order round some activation the other way.
    const alone = await run(cluster, stories, ALONE, expected!.prompt, [], 64, weights)
    // 8 heads of 8 numbers are 2 blocks.
    for (const tensor of everyPlan ? [2, 3, 4, 5, 6, 7, 8] : [3, 8]) {
      const plan = { ...ALONE, tensor }
      const found = await run(cluster, stories, plan, expected!.prompt, [], 64, weights)
      t.deepEqual(found.tokens, alone.tokens, planName(plan))
      checkLogits(t, found.logits, alone.logits, 1e-3, planName(plan))
    }
  })
}

if (everyPlan) {
  for (const { name, folder } of referenceModels()) {
    test.serial(`${name}: every plan gives the logits and greedy tokens of Hugging Face transformers`, async (t) => {
      new ProcessGuard(t)
      await using cluster = await connect()
      for (const plan of upToEight) {
        const engine = await startIfFits(cluster, folder, plan)
        if (!engine) continue
        for (const { prompt, greedy, logits } of expectationsOf(folder)) {
          const found = await generate(engine, prompt, greedy.length)
          t.deepEqual(found.tokens, greedy, `${planName(plan)}, prompt of ${prompt.length}`)
          checkLogits(t, found.logits, logits!, 1e-3, `${planName(plan)}, prompt of ${prompt.length}`)
        }
        await engine.stop()
      }
    })
  }
}

/** An engine, or undefined where the model has fewer layers or heads than the plan wants. */
async function startIfFits(cluster: Cluster, model: string, plan: Plan): Promise<Engine | undefined> {
  try {
    return await Engine.start(cluster, { model, plan, contextLength: 600, threads: 1 })
  } catch (error) {
    if (/^plan: /.test((error as Error).message)) return undefined
    throw error
  }
}

function planOf([pipeline, tensor, sequence]: [number, number, number]): Plan {
  return { pipeline, tensor, sequence }
}

interface Found {
  tokens: number[]
  logits: Float32Array
}

/** `count` greedy tokens after a prompt, and the logits after it and more text, taken in several steps. */
async function run(
  cluster: Cluster,
  model: string,
  plan: Plan,
  prompt: readonly number[],
  text: readonly number[],
  count: number,
  weights?: LoadFormat,
): Promise<Found> {
  const engine = await Engine.start(cluster, { model, plan, threads: 1, chunkTokens: 100, ...(weights && { weights }) })
  const { tokens } = await generate(engine, prompt, count)
  const { logits } = await generate(engine, [...prompt, ...text], 1)
  await engine.stop()
  return { tokens, logits }
}

async function generate(engine: Engine, prompt: readonly number[], maxTokens: number): Promise<Found> {
  const found: Found = { tokens: [], logits: new Float32Array() }
  for await (const { token, logits } of engine.generate(prompt, { maxTokens, stopAtEnd: false, wantLogits: true })) {
    found.tokens.push(token)
    found.logits = logits ?? found.logits
  }
  return found
}

function checkLogits(
  t: ExecutionContext,
  found: Float32Array,
  expected: ArrayLike<number>,
  tolerance: number,
  what: string,
): void {
  const worst = found.reduce((most, logit, i) => Math.max(most, Math.abs(logit - expected[i]!)), 0)
  t.true(found.length === expected.length && worst <= tolerance, `${what}: logits differ by ${worst}`)
}
