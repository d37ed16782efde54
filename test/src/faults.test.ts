import { ActorDiedError, connect } from '@troupe/core'
import { Engine } from '@troupe/llm'
import test from 'ava'
import { tales } from './support/models.js'
import { ProcessGuard } from './support/processes.js'

const plan = { pipeline: 2, tensor: 2, sequence: 1 }
/** Milliseconds that a failure takes at most on a busy machine: less than any time limit, 30 s and more, that it could wait for. */
const PROMPT = 20_000
const prompt = Array.from({ length: 200 }, (_, i) => 10 + i)

test.serial('kill -9 of any worker while it prefills fails the caller with an error that names it', async (t) => {
  new ProcessGuard(t)
  for (let victim = 0; victim < 4; victim++) {
    const cluster = await connect()
    const engine = await Engine.start(cluster, { model: tales, plan })
    const { pid, name } = engine.workers[victim]!
    // A stopped worker keeps the others waiting in the middle of the prefill.
    process.kill(pid, 'SIGSTOP')
    const first = engine.generate(prompt, { maxTokens: 4 }).next()
    const killed = Date.now()
    process.kill(pid, 'SIGKILL')
    const error = await t.throwsAsync(async () => void (await first), { instanceOf: ActorDiedError })
    t.true(error!.message.includes(name), error!.message)
    t.true(Date.now() - killed < PROMPT)
    await cluster.shutdown()
  }
})

test.serial('kill -9 of any worker while it decodes fails the caller with an error that names it', async (t) => {
  new ProcessGuard(t)
  for (let victim = 0; victim < 4; victim++) {
    const cluster = await connect()
    const engine = await Engine.start(cluster, { model: tales, plan })
    const { pid, name } = engine.workers[victim]!
    let killed = Number.POSITIVE_INFINITY
    const error = await t.throwsAsync(
      async () => {
        let count = 0
        for await (const _ of engine.generate(prompt, { maxTokens: 1000, stopAtEnd: false })) {
          if (++count === 5) {
            killed = Date.now()
            process.kill(pid, 'SIGKILL')
          }
        }
      },
      { instanceOf: ActorDiedError },
    )
    t.true(error!.message.includes(name), error!.message)
    t.true(Date.now() - killed < PROMPT)
    await t.throwsAsync(
      engine.generate(prompt, { maxTokens: 1 }).next(),
      { instanceOf: ActorDiedError },
      'it stays failed',
    )
    await cluster.shutdown()
  }
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

test.serial('kill -9 of a node ends its workers and fails the driver with an error', async (t) => {
  const guard = new ProcessGuard(t)
  const head = guard.troupe('start', '--head', '--port', '0')
  const [, address] = await head.printed(/listening on (\S+:\d+)/)
  const node = guard.troupe('start', '--join', address!)
  await node.printed(/joined/)
  const driver = guard.troupe(...telling, '--address', address!)
  await driver.printed(words)
  const killed = Date.now()
  node.child.kill('SIGKILL')
  const end = await driver.finished
  t.true(Date.now() - killed < PROMPT)
  t.is(end.status, 1)
  t.regex(end.stderr, /ModelWorker\[pipeline=1/)
  head.child.kill('SIGTERM')
  await head.finished
})

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
