import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '@troupe/core'
import { readConfig } from '@troupe/llm'
import test, { type ExecutionContext } from 'ava'
import { eachPrompt, type Found, worstDifference } from './support/expectations.js'
import type { Plan } from './support/generate.js'
import { referenceModels } from './support/models.js'
import { ProcessGuard } from './support/processes.js'
import { rewriteWeights } from './support/safetensors.js'

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
        await eachPrompt(t, cluster, { model: folder, plan }, (found, expected, what) => {
          t.deepEqual(found.tokens, expected.greedy, what)
          const worst = worstDifference(found.logits, expected.logits!)
          t.true(worst <= 1e-3, `${what}: logits differ by ${worst}`)
        })
      }
    },
  )
}

for (const { name, folder } of referenceModels()) {
  for (const format of ['F16', 'BF16'] as const) {
    test.serial(
      `${name} in ${format}: logits are as near as the format's rounding of the weights allows`,
      async (t) => {
        new ProcessGuard(t)
        await using cluster = await connect()
        const half = copyOf(t, folder)
        const rounded = copyOf(t, folder)
        rewriteWeights(half, format)
        rewriteWeights(rounded, format, true)
        const plan = { pipeline: 1, tensor: 2, sequence: 1 }
        const exact: Found[] = []
        await eachPrompt(t, cluster, { model: rounded, plan }, (found) => exact.push(found))
        await eachPrompt(t, cluster, { model: half, plan }, (found, expected, what) => {
          const { tokens, logits } = exact.shift()!
          t.deepEqual(found.tokens, tokens, `${what}: the same numbers stored as float32 give other tokens`)
          t.true(worstDifference(found.logits, [...logits]) <= 1e-3, what)
          const worst = worstDifference(found.logits, expected.logits!)
          const allowed = roundingTolerance(folder, format) * rootMeanSquare(expected.logits!)
          t.true(worst <= allowed, `${what}: logits differ by ${worst}, more than ${allowed}`)
        })
      },
    )
  }
}

/**
 * How far logits may go, relative to their size, when every weight is rounded by at most half a unit in the last place.
 * Each of the products that follow one another adds such an error to what it is given, for which 4 a layer and 2 at the
 * ends stand; the largest of some hundred logits' errors is some 3 times their root mean square.
 */
function roundingTolerance(folder: string, format: 'F16' | 'BF16'): number {
  const unit = format === 'F16' ? 2 ** -11 : 2 ** -8
  return 3 * (4 * readConfig(folder).layers + 2) * unit
}

function rootMeanSquare(values: readonly number[]): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length)
}

function copyOf(t: ExecutionContext, folder: string): string {
  const copy = mkdtempSync(join(tmpdir(), 'troupe-test-'))
  t.teardown(() => rmSync(copy, { recursive: true }))
  cpSync(folder, copy, { recursive: true })
  return copy
}
