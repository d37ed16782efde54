import { ActorDiedError, connect } from '@troupe/core'
import { Engine } from '@troupe/llm'
import test from 'ava'
import { tales } from './support/models.js'
import { ProcessGuard } from './support/processes.js'

const plan = { pipeline: 2, tensor: 2, sequence: 1 }
/** Milliseconds that a failure takes at most on a busy machine: less than any time limit, 30 s and more, that it could wait for. */
const PROMPT = 20_000
const prompt = Array.from({ length: 200 }, (_, i) => 10 + i)

async function collect(tokens: AsyncIterable<{ token: number }>, onToken = (_count: number) => {}): Promise<number[]> {
  const found: number[] = []
  for await (const { token } of tokens) onToken(found.push(token))
  return found
}

test.serial(
  'kill -9 of any worker, while it prefills or decodes, changes nothing of the text, and it is replaced',
  async (t) => {
    new ProcessGuard(t)
    const cluster = await connect()
    const engine = await Engine.start(cluster, { model: tales, plan })
    const options = { maxTokens: 40, stopAtEnd: false }
    const expected = await collect(engine.generate(prompt, options))
    for (let victim = 0; victim < 4; victim++) {
      for (const at of [0, 5]) {
        const { pid } = engine.workers[victim]!
        const kill = () => process.kill(pid, 'SIGKILL')
        const text = collect(engine.generate(prompt, options), (count) => count === at && kill())
        if (at === 0) kill()
        t.deepEqual(await text, expected, `worker ${victim}, after ${at} tokens`)
        // One that dies behind the last step is found dead by the next.
        t.deepEqual(await collect(engine.generate(prompt, options)), expected)
        t.false(engine.workers.some((worker) => worker.pid === pid))
      }
    }
    await cluster.shutdown()
  },
)

test.serial(
  'beside a worker that is stopped, the death of another is found, and texts go on with new workers',
  async (t) => {
    new ProcessGuard(t)
    const cluster = await connect()
    const engine = await Engine.start(cluster, { model: tales, plan: { tensor: 2 } })
    const options = { maxTokens: 40, stopAtEnd: false }
    const expected = await collect(engine.generate(prompt, options))
    for (const [stopped, killed] of [
      [0, 1],
      [1, 0],
    ] as const) {
      const pids = engine.workers.map(({ pid }) => pid)
      const began = performance.now()
      const text = collect(engine.generate(prompt, options), (count) => {
        if (count !== 5) return
        process.kill(pids[stopped]!, 'SIGSTOP')
        process.kill(pids[killed]!, 'SIGKILL')
      })
      t.deepEqual(await text, expected, `worker ${stopped} stopped`)
      t.true(performance.now() - began < PROMPT)
      t.false(engine.workers.some(({ pid }) => pids.includes(pid)))
    }
    await cluster.shutdown()
  },
)

test.serial('a text under which workers die again and again fails with a death that names the worker', async (t) => {
  new ProcessGuard(t)
  const cluster = await connect()
  const engine = await Engine.start(cluster, { model: tales, plan: { tensor: 2 } })
  const killed = new Set<number>()
  const kill = () => {
    for (const { pid } of engine.workers) {
      if (killed.has(pid)) continue
      killed.add(pid)
      process.kill(pid, 'SIGKILL')
    }
  }
  // A prompt as long as can be is under way when the workers are there, and dies with them before its first token.
  const long = Array.from({ length: 2000 }, (_, i) => 3 + (i % 500))
  const text = t.throwsAsync(collect(engine.generate(long, { maxTokens: 4 })), { instanceOf: ActorDiedError })
  const killing = setInterval(kill, 5)
  const error = await text
  clearInterval(killing)
  t.regex(error!.message, /ModelWorker\[/)
  await cluster.shutdown()
})

// A prompt of tokens, so that the end of the story does not end the run.
const telling = [
  ...['generate', '--model', tales, '--pipeline', '2', '--tensor', '2'],
  ...['--tokens', '1,40,50,60', '--max-tokens', '2000'],
]
/** Some words of the answer. */
const words = /\w+( \w+){8}/

test.serial('kill -9 of the driver takes every worker with it', async (t) => {
  const guard = new ProcessGuard(t)
  const driver = guard.troupe(...telling)
  await driver.printed(words)
  t.true(guard.living().length >= 6, 'the driver, its head and four workers')
  driver.child.kill('SIGKILL')
  t.deepEqual(await guard.gone(), [])
  await driver.finished
})

test.serial('kill -9 of a driver of a running cluster ends its workers and leaves the cluster to others', async (t) => {
  const guard = new ProcessGuard(t)
  const head = guard.troupe('start', '--head', '--port', '0')
  const [, address] = await head.printed(/listening on (\S+:\d+)/)
  const idle = guard.living().length
  const driver = guard.troupe(...telling, '--address', address!)
  await driver.printed(words)
  driver.child.kill('SIGKILL')
  await driver.finished
  t.is((await guard.gone(idle)).length, idle)
  const next = await guard.troupe(...telling.slice(0, -1), '3', '--address', address!).finished
  t.is(next.status, 0, next.stderr)
  head.child.kill('SIGTERM')
  await head.finished
})

test.serial(
  'kill -9 of a node ends its workers, and the text goes on with others on the nodes that are left',
  async (t) => {
    const guard = new ProcessGuard(t)
    const head = guard.troupe('start', '--head', '--port', '0')
    const [, address] = await head.printed(/listening on (\S+:\d+)/)
    const node = guard.troupe('start', '--join', address!)
    await node.printed(/joined/)
    const asked = [...telling.slice(0, -1), '800', '--temperature', '0', '--address', address!]
    const whole = await guard.troupe(...asked).finished
    const driver = guard.troupe(...asked)
    await driver.printed(words)
    node.child.kill('SIGKILL')
    const end = await driver.finished
    t.is(end.status, 0, end.stderr)
    t.is(end.stdout, whole.stdout)
    head.child.kill('SIGTERM')
    await head.finished
  },
)

test.serial('Ctrl-C ends everything at once', async (t) => {
  const guard = new ProcessGuard(t)
  const driver = guard.troupe(...telling)
  await driver.printed(words)
  const pressed = Date.now()
  for (const { pid } of guard.living()) process.kill(pid, 'SIGINT') // as the terminal does
  const end = await driver.finished
  t.true(Date.now() - pressed < PROMPT)
  t.true(end.status === 130 || end.signal === 'SIGINT', JSON.stringify(end))
  t.deepEqual(await guard.gone(), [])
})
