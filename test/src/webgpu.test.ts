import { connect } from '@troupe/core'
import test from 'ava'
import { eachPrompt, worstDifference } from './support/expectations.js'
import type { Plan } from './support/generate.js'
import { referenceModels } from './support/models.js'
import { ProcessGuard } from './support/processes.js'

/** One model under every plan, all models under one, and short texts, as the software that stands in for a GPU is slow; nightly all. */
const EVERY_PLAN = process.env.TROUPE_EVERY_PLAN === '1'
const MOST = EVERY_PLAN ? undefined : { promptTokens: 40, tokens: 2 }
const ONE: Plan = { pipeline: 1, tensor: 1, sequence: 1 }
const PLANS: Plan[] = [
  ONE,
  { pipeline: 1, tensor: 2, sequence: 1 },
  { pipeline: 2, tensor: 2, sequence: 1 },
  { pipeline: 1, tensor: 1, sequence: 2 },
]

for (const { name, folder } of referenceModels()) {
  const plans = EVERY_PLAN || name === 'qwen3' ? PLANS : [ONE]
  test.serial(`${name} on WebGPU: logits and greedy tokens are those of Hugging Face transformers`, async (t) => {
    new ProcessGuard(t)
    await using cluster = await connect()
    for (const plan of plans) {
      await eachPrompt(
        t,
        cluster,
        { model: folder, plan, device: 'webgpu' },
        (found, expected, what) => {
          t.deepEqual(found.tokens, expected.greedy, what)
          const worst = worstDifference(found.logits, expected.logits!)
          t.true(worst <= 1e-3, `${what}: logits differ by ${worst}`)
        },
        MOST,
      )
    }
  })
}
