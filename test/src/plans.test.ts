import { join } from 'node:path'
import test from 'ava'
import { type Generated, generate, type Plan, planName } from './support/generate.js'
import { type Expectation, expectationsOf, stories } from './support/models.js'
import { ProcessGuard } from './support/processes.js'

const upToEight = [1, 2, 5]
  .flatMap((pipeline) => [1, 2, 4].flatMap((tensor) => [1, 2].map((sequence) => ({ pipeline, tensor, sequence }))))
  .filter(({ pipeline, tensor, sequence }) => pipeline * tensor * sequence <= 8)

test.serial('the published story comes out token for token under every plan of up to 8 workers', async (t) => {
  const [expected] = expectationsOf(stories)
  const guard = new ProcessGuard(t)
  for (const plan of [...upToEight, { pipeline: 1, tensor: 8, sequence: 1 }, { pipeline: 2, tensor: 3, sequence: 1 }]) {
    const found = await generate(guard, stories, plan, ...greedy(expected!))
    t.deepEqual(found.tokens, expected!.greedy, planName(plan))
    t.is(found.text.trim(), expected!.text!.trim())
    checkWorkers(t, found, plan)
  }
})

test.serial('the published story comes out of its GGUF file, token for token and from the text', async (t) => {
  const [expected] = expectationsOf(stories)
  const gguf = join(stories, 'stories260k-f32.gguf')
  const guard = new ProcessGuard(t)
  for (const [pipeline, tensor, sequence] of [
    [1, 1, 1],
    [2, 2, 1],
    [1, 3, 2],
  ] as const) {
    const plan = { pipeline, tensor, sequence }
    const found = await generate(guard, gguf, plan, ...greedy(expected!))
    t.deepEqual(found.tokens, expected!.greedy, planName(plan))
    t.is(found.text.trim(), expected!.text!.trim())
  }
  const text = expected!.text!.trim()
  const start = text.slice(0, text.indexOf('.') + 1)
  const plan = { pipeline: 1, tensor: 1, sequence: 1 }
  const found = await generate(guard, gguf, plan, '--prompt', start, '--temperature', '0', '--max-tokens', '100')
  t.true(found.text.length > 100 && text.startsWith(`${start}${found.text}`), found.text)
})

test.serial('the published story comes out token for token over two nodes that meet over TCP', async (t) => {
  const [expected] = expectationsOf(stories)
  const guard = new ProcessGuard(t)
  const head = guard.troupe('start', '--head', '--port', '0')
  const [, address] = await head.printed(/listening on (\S+:\d+)/)
  const node = guard.troupe('start', '--join', address!)
  await node.printed(/joined/)
  for (const plan of upToEight) {
    const found = await generate(guard, stories, plan, '--address', address!, ...greedy(expected!))
    t.deepEqual(found.tokens, expected!.greedy, planName(plan))
  }
  head.child.kill('SIGINT')
  await Promise.all([head.finished, node.finished])
})

function greedy({ prompt, greedy }: Expectation): string[] {
  return ['--tokens', prompt.join(), '--max-tokens', String(greedy.length), '--temperature', '0']
}

function checkWorkers(
  t: { is(a: unknown, b: unknown): void; true(claim: boolean): void },
  found: Generated,
  plan: Plan,
): void {
  t.is(found.workers.length, plan.pipeline * plan.tensor * plan.sequence)
  t.is(new Set(found.workers.map(({ pid }) => pid)).size, found.workers.length)
  t.true(found.workers.every(({ weightBytes, kvBytes }) => weightBytes > 0 && kvBytes > 0))
  t.true(found.prefillTokensPerSecond > 0 && found.decodeTokensPerSecond > 0)
}
