import test, { type ExecutionContext } from 'ava'
import { collectGarbage } from '../common/collect-garbage.js'
import {
  connect,
  describeActor,
  type Handle,
  InvalidInputError,
  type ObjectRef,
  put,
  TroupeError,
  wait,
} from '../index.js'
import { borrowedCount } from '../runtime/borrowed-ref.js'
import { currentRuntime } from '../runtime/current.js'
import {
  type BlockStore,
  RemoteBlockStore,
  remoteAddToBlock,
  remoteFirstOf,
  remoteFirstOfRef,
  remoteMakeBlock,
} from '../testing/blocks.js'
import { type Counter, RemoteCounter } from '../testing/counter.js'
import { type Holder, RemoteHolder } from '../testing/holder.js'
import { files, processesOf, untilGone } from '../testing/leftovers.js'
import { run } from '../testing/programs.js'
import { seeded } from '../testing/random-values.js'
import { remoteSquare } from '../testing/tasks.js'
import { until } from '../testing/until.js'

/** `TROUPE_CHAOS_ROUNDS=200` runs the long form. */
const ROUNDS = Number(process.env.TROUPE_CHAOS_ROUNDS ?? 6)
const SEED = Number(process.env.TROUPE_CHAOS_SEED ?? 1)

test(`after ${ROUNDS} rounds of calls and kills every call has an outcome and nothing is left`, async (t) => {
  t.timeout(ROUNDS * 20_000)
  const before = files()
  const random = seeded(SEED)
  const below = (limit: number) => Math.floor(random() * limit)
  const head = run(t, 'head-program.js')
  const address = await head.line()
  // Kills are no failures that this test has to handle.
  const cluster = await connect({ address, onFailure() {} })
  let node = run(t, 'node-program.js', address)
  await node.line()
  let [answered, failed] = [0, 0]

  const playRound = async () => {
    const counters: Handle<Counter>[] = []
    const holders: Handle<Holder>[] = []
    const stores: Handle<BlockStore>[] = []
    const blocks: { readonly ref: ObjectRef<Float64Array>; readonly value: number }[] = []
    const spawn = async () => {
      if (below(3) === 0) stores.push(await RemoteBlockStore.spawn())
      counters.push(await RemoteCounter.options({ maxRestarts: below(3), maxTaskRetries: below(2) }).spawn())
      if (below(2) === 0) holders.push(await RemoteHolder.spawn())
    }
    const spawning = Array.from({ length: 1 + below(3) }, spawn)
    const calls: Promise<unknown>[] = [...spawning]
    await Promise.allSettled(spawning)
    for (let count = 10 + below(30); count > 0; count--) {
      const counter = counters[below(counters.length)]
      const holder = holders[below(holders.length)]
      const kind = below(8)
      const store = stores[below(stores.length)]
      const block = blocks[below(blocks.length)]
      if (kind > 4) {
        // Large results, which stay with the workers that are killed.
        if (kind === 5 && store) calls.push(same(t, remoteFirstOf(store.block()), 0))
        else if (kind === 5 || !block) blocks.push(makeBlock(below(100)))
        else if (kind === 6) blocks.push(addTo(block, below(100)))
        else if (below(2) === 0) calls.push(same(t, remoteFirstOfRef({ ref: block.ref }), block.value))
        else if (store) calls.push(same(t, store.first(block.ref), block.value))
        if (below(4) === 0 && block) calls.push(wait([block.ref]))
        if (below(8) === 0 && block && store) calls.push(store.keep({ ref: block.ref }), store.kept())
        continue
      }
      if (kind === 0) calls.push(remoteSquare(below(100)))
      else if (kind === 1 && holder) calls.push(holder.keep({ refs: [put(below(9))] }))
      else if (kind === 2 && holder) calls.push(holder.sum())
      else if (counter) calls.push(counter.add(kind === 3 ? remoteSquare(2) : 1))
    }
    const victim = counters[below(counters.length)]
    if (victim) kill(describeActor(victim).pid)
    const tasks = await cluster.tasks()
    const worker = tasks[below(tasks.length)]
    if (worker) kill(worker.pid)
    const store = stores[below(stores.length)]
    if (store && below(3) === 0) kill(describeActor(store).pid)
    if (below(4) === 0) {
      node.child.kill('SIGKILL')
      await node.ended
      node = run(t, 'node-program.js', address)
      calls.push(node.line())
    }
    if (counters[0]) calls.push(counters[0].add(1))
    for (const { ref, value } of blocks) calls.push(same(t, remoteFirstOf(ref), value))
    const [fetched] = blocks
    if (fetched) calls.push(fetched.ref)
    for (const outcome of await Promise.allSettled(calls)) {
      if (outcome.status === 'fulfilled') answered++
      else {
        failed++
        const error: unknown = outcome.reason
        const isKnown = error instanceof TroupeError && !(error instanceof InvalidInputError)
        t.true(isKnown, `${error}`)
      }
    }
    for (const { ref } of blocks) if (below(2) === 0) ref.release()
    const handles = [...counters, ...holders, ...stores]
    await Promise.all(handles.map((handle) => currentRuntime().head.end(describeActor(handle).id, 'the round is over')))
  }
  for (let round = 0; round < ROUNDS; round++) await playRound()

  t.true(answered > failed, `${answered} answered, ${failed} failed`)
  const { objects, results } = currentRuntime()
  const counts = () => [objects.size, results.size, borrowedCount()]
  await until(() => {
    collectGarbage()
    return counts().every((count) => count === 0)
  })
  t.deepEqual(counts(), [0, 0, 0], 'nobody holds a ref any more')
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

function makeBlock(value: number) {
  return { ref: remoteMakeBlock('/dev/null', value), value }
}

function addTo(block: { readonly ref: ObjectRef<Float64Array>; readonly value: number }, by: number) {
  return { ref: remoteAddToBlock('/dev/null', block.ref, by), value: block.value + by }
}

/** Resolves as a call does, once its answer has been compared with what it must be. */
async function same(t: ExecutionContext, call: ObjectRef<number>, expected: number): Promise<void> {
  t.is(await call, expected)
}

/** Kills a process; a task that waits has none, and 0 would stand for this one and all that it was started with. */
function kill(pid = 0): void {
  if (pid === 0) return
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}
