import type { Cluster } from '@troupe/core'
import { Engine, type EngineOptions } from '@troupe/llm'
import type { ExecutionContext } from 'ava'
import { type Plan, planName } from './generate.js'
import { type Expectation, expectationsOf } from './models.js'

/** What an engine gave for a prompt: its tokens, and the logits of the first. */
export interface Found {
  tokens: number[]
  logits: Float32Array
}

/**
 * Has a model under a plan continue every prompt that there are expectations for.
 * @param most Longer prompts are left out, and no more tokens are asked for.
 */
export async function eachPrompt(
  t: ExecutionContext,
  cluster: Cluster,
  options: Pick<EngineOptions, 'device'> & { model: string; plan: Plan },
  check: (found: Found, expected: Expectation, what: string) => void,
  most = { promptTokens: Number.POSITIVE_INFINITY, tokens: Number.POSITIVE_INFINITY },
): Promise<void> {
  const engine = await Engine.start(cluster, { ...options, contextLength: 600, threads: 1 })
  const expectations = expectationsOf(options.model)
    .filter(({ prompt }) => prompt.length <= most.promptTokens)
    .map((expected) => ({ ...expected, greedy: expected.greedy.slice(0, most.tokens) }))
  t.true(expectations.length > 0)
  for (const expected of expectations) {
    const { prompt, greedy } = expected
    const asked = { maxTokens: greedy.length, stopAtEnd: false, wantLogits: true }
    const found: Found = { tokens: [], logits: new Float32Array() }
    for await (const { token, logits } of engine.generate(prompt, asked)) {
      found.tokens.push(token)
      found.logits = logits ?? found.logits
    }
    check(found, expected, `${planName(options.plan)}, prompt of ${prompt.length}`)
  }
  await engine.stop()
}

/** The largest distance of logits from what is expected. */
export function worstDifference(found: Float32Array, expected: readonly number[]): number {
  return found.reduce((worst, logit, i) => Math.max(worst, Math.abs(logit - expected[i]!)), 0)
}
