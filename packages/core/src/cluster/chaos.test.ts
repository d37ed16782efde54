import test from 'ava'
import { connect, describeActor, type Handle, InvalidInputError, put, TroupeError } from '../index.js'
import { currentRuntime } from '../runtime/runtime.js'
import { type Counter, RemoteCounter } from '../testing/counter.js'
import { type Holder, RemoteHolder } from '../testing/holder.js'
import { files, processesOf, untilGone } from '../testing/leftovers.js'
import { run } from '../testing/programs.js'
import { seeded } from '../testing/random-values.js'
import { remoteSquare } from '../testing/tasks.js'

/** `TROUPE_CHAOS_ROUNDS=200` runs the long form. */
const ROUNDS = Number(process.env.TROUPE_CHAOS_ROUNDS ?? 12)
const SEED = Number(process.env.TROUPE_CHAOS_SEED ?? 1)

test(`after ${ROUNDS} rounds of calls and kills every call has an outcome and nothing is left`, async (t) => {
  t.timeout(ROUNDS * 20_000)
  const before = files()
  const random = seeded(SEED)
  const below = (limit: number) => Math.floor(random() * limit)
  const head = run(t, 'head-program.js')
  const address = await head.line()
  const cluster = await connect({ address })
  let node = run(t, 'node-program.js', address)
  await node.line()
  let [answered, failed] = [0, 0]

  for (let round = 0; round < ROUNDS; round++) {
    const counters: Handle<Counter>[] = []
    const holders: Handle<Holder>[] = []
    const spawn = async () => {
      counters.push(await RemoteCounter.options({ maxRestarts: below(3), maxTaskRetries: below(2) }).spawn())
      if (below(2) === 0) holders.push(await RemoteHolder.spawn())
    }
    const spawning = Array.from({ length: 1 + below(3) }, spawn)
    const calls: Promise<unknown>[] = [...spawning]
    await Promise.allSettled(spawning)
    for (let count = 10 + below(30); count > 0; count--) {
      const counter = counters[below(counters.length)]
      const holder = holders[below(holders.length)]
      const kind = below(5)
      if (kind === 0) calls.push(remoteSquare(below(100)))
      else if (kind === 1 && holder) calls.push(holder.keep({ refs: [put(below(9))] }))
      else if (kind === 2 && holder) calls.push(holder.sum())
      else if (counter) calls.push(counter.add(kind === 3 ? remoteSquare(2) : 1))
    }
    const victim = counters[below(counters.length)]
    if (victim) kill(describeActor(victim).pid)
    if (below(4) === 0) {
      node.child.kill('SIGKILL')
      await node.ended
      node = run(t, 'node-program.js', address)
      calls.push(node.line())
    }
    if (counters[0]) calls.push(counters[0].add(1))
    for (const outcome of await Promise.allSettled(calls)) {
      if (outcome.status === 'fulfilled') answered++
      else {
        failed++
        const error: unknown = outcome.reason
        const isKnown = error instanceof TroupeError && !(error instanceof InvalidInputError)
        t.true(isKnown, `${error}`)
      }
    }
    const handles = [...counters, ...holders]
    await Promise.all(handles.map((handle) => currentRuntime().head.end(describeActor(handle).id, 'the round is over')))
  }

  t.true(answered > failed, `${answered} answered, ${failed} failed`)
  for (let left = 500; left > 0 && currentRuntime().objects.size > 0; left--) {
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  t.is(currentRuntime().objects.size, 0, 'nobody holds a ref any more')
  t.deepEqual(await cluster.actors(), [])
  const { id } = cluster
  await cluster.shutdown()
  head.child.kill('SIGTERM')
  t.is(await head.ended, 0)
  await node.ended
  await untilGone(t, () => processesOf(id))
  t.deepEqual(files(), before)
  t.log(`${answered} answered, ${failed} failed`)
})

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}
