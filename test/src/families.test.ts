import { type Cluster, connect } from '@troupe/core'
import { Engine } from '@troupe/llm'
import test, { type ExecutionContext } from 'ava'
import { type Plan, planName } from './support/generate.js'
import { type Expectation, expectationsOf, referenceModels } from './support/models.js'
import { ProcessGuard } from './support/processes.js'

const plans: Plan[] = [
  { pipeline: 1, tensor: 1, sequence: 1 },
  { pipeline: 2, tensor: 2, sequence: 1 },
  { pipeline: 1, tensor: 2, sequence: 2 },
  { pipeline: 3, tensor: 1, sequence: 2 },
  { pipeline: 1, tensor: 3, sequence: 1 },
]

for (const { name, folder } of referenceModels()) {
  test.serial(
    `${name}: logits and greedy tokens are those of Hugging Face transformers for every prompt and plan`,
    async (t) => {
      new ProcessGuard(t)
      await using cluster = await connect()
      for (const plan of plans) {
        await eachPrompt(t, cluster, folder, plan, (found, expected, what) => {
          t.deepEqual(found.tokens, expected.greedy, what)
          const worst = worstDifference(found.logits, expected.logits!)
          t.true(worst <= 1e-3, `${what}: logits differ by ${worst}`)
        })
      }
    },
  )
}

interface Found {
  tokens: number[]
  logits: Float32Array
}

async function eachPrompt(
  t: ExecutionContext,
  cluster: Cluster,
  model: string,
  plan: Plan,
  check: (found: Found, expected: Expectation, what: string) => void,
): Promise<void> {
  const engine = await Engine.start(cluster, { model, plan, contextLength: 600, threads: 1 })
  const expectations = expectationsOf(model)
  t.true(expectations.length > 0)
  for (const expected of expectations) {
    const { prompt, greedy } = expected
    const asked = { maxTokens: greedy.length, stopAtEnd: false, wantLogits: true }
    const found: Found = { tokens: [], logits: new Float32Array() }
    for await (const { token, logits } of engine.generate(prompt, asked)) {
      found.tokens.push(token)
      found.logits = logits ?? found.logits
    }
    check(found, expected, `${planName(plan)}, prompt of ${prompt.length}`)
  }
  await engine.stop()
}

function worstDifference(found: Float32Array, expected: readonly number[]): number {
  return found.reduce((worst, logit, i) => Math.max(worst, Math.abs(logit - expected[i]!)), 0)
}
