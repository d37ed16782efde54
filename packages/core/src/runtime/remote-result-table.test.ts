import test, { type ExecutionContext } from 'ava'
import { collectGarbage } from '../common/collect-garbage.js'
import { describeActor, killActor, ObjectLostError, type ObjectRef, stopActor, wait } from '../index.js'
import {
  type BlockStore,
  RemoteBlockStore,
  remoteAddToBlock,
  remoteFirstOf,
  remoteFirstOfRef,
  remoteGrowBlock,
  remoteMakeBlock,
  remoteSplitBlock,
} from '../testing/blocks.js'
import { TestCluster } from '../testing/index.js'
import { Notes } from '../testing/notes.js'
import { until } from '../testing/until.js'
import { borrowedCount } from './borrowed-ref.js'
import { currentRuntime } from './current.js'

const far = { labels: { zone: 'b' } }
const near = { labels: { zone: 'a' } }

function start(): Promise<TestCluster> {
  return TestCluster.start([
    { ...near, resources: { cpu: 2 } },
    { ...far, resources: { cpu: 2 } },
  ])
}

/** The process that noted last that it ran a task. */
function lastPid(notes: Notes): number {
  const pid = Number(notes.lines().at(-1)?.split(' ').at(-1))
  // 0 would stand for this process and all that it was started with.
  if (!(pid > 0)) throw new Error('no task has noted that it ran')
  return pid
}

function runs(notes: Notes, what: string): number {
  return notes.lines().filter((line) => line.startsWith(what)).length
}

function isAway(ref: ObjectRef<unknown>): boolean {
  return ref.elsewhere !== undefined && !ref.elsewhere.isHere
}

async function becomesTrue(t: ExecutionContext, what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  t.true(await until(isSo), what)
}

/** Resolves once no process holds a ref of another. */
async function untilBalanced(t: ExecutionContext, ...stores: { counts: BlockStore['counts'] }[]): Promise<void> {
  const { objects, results } = currentRuntime()
  await becomesTrue(t, 'nobody holds a ref', () => {
    collectGarbage()
    return objects.size === 0 && borrowedCount() === 0 && results.size === 0
  })
  for (const store of stores as never as { counts(): Promise<[number, number]> }[]) {
    await becomesTrue(t, 'the actors hold none', async () => String(await store.counts()) === '0,0')
  }
}

test.serial('a large result stays where it was computed until it is wanted, and goes straight to calls', async (t) => {
  await using _started = await start()
  const notes = new Notes()
  const store = await RemoteBlockStore.options(near).spawn()
  const block = remoteMakeBlock.options(far)(notes.path, 7)
  const { ready } = await wait([block])
  t.deepEqual(ready, [block])
  t.is(await remoteFirstOf.options(near)(block), 7, 'as an argument of a task')
  t.is(await remoteFirstOfRef.options(near)({ ref: block }), 7, 'inside of an argument')
  t.is(await store.first(block), 7, 'as an argument of an actor')
  const other = await RemoteBlockStore.options(far).spawn(block)
  t.is(await remoteFirstOf(other.block()), 7, 'as an argument of a constructor')
  t.true(isAway(block), 'not through the caller')
  t.is((await block)[0], 7)
  t.false(isAway(block))
  t.is(runs(notes, 'make'), 1)
  const [large, small] = remoteSplitBlock.options({ ...far, numReturns: 3 })(notes.path, 3)
  t.is(await small, 3)
  t.true(isAway(large))
  t.is(await remoteFirstOf.options(near)(large), 3)
  for (const ref of [block, large]) ref.release()
  await untilBalanced(t, store as never, other as never)
})

test.serial(
  'what an actor answered is as it was then, and later calls of the caller wait for large arguments',
  async (t) => {
    await using _started = await start()
    const [giver, taker] = await Promise.all([
      RemoteBlockStore.options(far).spawn(),
      RemoteBlockStore.options(near).spawn(),
    ])
    const before = giver.block()
    await giver.fill(5)
    const calls = [taker.first(before), taker.note(1), taker.first(giver.block()), taker.note(2)]
    await Promise.all(calls)
    t.deepEqual(await taker.order(), [0, 1, 5, 2])
    t.is((await before)[0], 0)
    before.release()
    await untilBalanced(t, giver as never, taker as never)
  },
)

test.serial(
  'the result of a task that is lost before it is fetched is computed again, and its arguments too',
  async (t) => {
    await using started = await start()
    const notes = new Notes()
    const made = remoteMakeBlock.options(far)(notes.path, 1)
    const sum = remoteAddToBlock.options(far)(notes.path, made, 10)
    const total = remoteAddToBlock.options(far)(notes.path, sum, 100)
    await wait([total])
    made.release()
    sum.release()
    t.is(runs(notes, ''), 3)
    await started.removeNode()
    await started.addNode({ ...far, resources: { cpu: 1 } })
    t.is(await remoteFirstOf.options(near)(total), 111, 'a call that it is passed to gets it')
    t.is(runs(notes, ''), 6)
    t.true(isAway(total))
    process.kill(lastPid(notes), 'SIGKILL')
    t.is((await total)[0], 111)
    const ran = runs(notes, '')
    process.kill(lastPid(notes), 'SIGKILL')
    t.is(await remoteFirstOf.options(near)(total), 111, 'what has come over cannot be lost')
    t.is(runs(notes, ''), ran)
    total.release()
    await untilBalanced(t)
  },
)

test.serial(
  'several results of a task that are lost are computed again together, as often as maxRetries says',
  async (t) => {
    await using _started = await start()
    const notes = new Notes()
    const [left, , right] = remoteSplitBlock.options({ ...far, numReturns: 3, maxRetries: 1 })(notes.path, 4)
    await wait([left])
    process.kill(lastPid(notes), 'SIGKILL')
    const firsts = await Promise.all([remoteFirstOf(left), remoteFirstOf(right)])
    t.deepEqual(firsts, [4, -4])
    t.is(runs(notes, 'split'), 2)
    process.kill(lastPid(notes), 'SIGKILL')
    const lost = { instanceOf: ObjectLostError, message: /the task splitBlock was lost.*raise maxRetries/ }
    await t.throwsAsync(() => left, lost)
    await t.throwsAsync(async () => await remoteFirstOf(right), lost)
    const once = remoteMakeBlock.options({ ...far, maxRetries: 0 })(notes.path, 1)
    await wait([once])
    process.kill(lastPid(notes), 'SIGKILL')
    await t.throwsAsync(() => once, { instanceOf: ObjectLostError, message: /maxRetries is 0/ })
    for (const ref of [left, right, once]) ref.release()
    await untilBalanced(t)
  },
)

test.serial(
  'the lost result of an actor is an error that names it, but a stopped actor hands its results over',
  async (t) => {
    await using started = await start()
    const [killed, stopped, onNode, taker] = await Promise.all([
      RemoteBlockStore.options({ ...far, name: 'giver' }).spawn(),
      RemoteBlockStore.options(far).spawn(),
      RemoteBlockStore.options(far).spawn(),
      RemoteBlockStore.options(near).spawn(),
    ])
    const blocks = [killed.block(), stopped.block(), onNode.block(), onNode.block()] as const
    await wait(blocks, { count: 4 })
    t.is((await blocks[3])[0], 0)
    const { nodeId } = describeActor(killed)
    await killActor(killed)
    const lost = {
      instanceOf: ObjectLostError,
      message: new RegExp(`result of giver\\.block was lost .*node ${nodeId}`),
    }
    await t.throwsAsync(async () => await taker.first(blocks[0]), lost)
    await t.throwsAsync(() => blocks[0], lost)
    await stopActor(stopped)
    t.false(isAway(blocks[1]))
    t.is(await taker.first(blocks[1]), 0)
    await started.removeNode()
    await t.throwsAsync(() => blocks[2], {
      instanceOf: ObjectLostError,
      message: /lost with the actor's process on node .*its (node|process)/,
    })
    t.is((await blocks[3])[0], 0, 'what has come over cannot be lost')
    for (const ref of blocks) ref.release()
    await untilBalanced(t, taker as never)
  },
)

test.serial('one who borrows a ref gets its value again after it was lost, also from another actor', async (t) => {
  await using _started = await start()
  const notes = new Notes()
  const [owner, borrower] = await Promise.all([
    RemoteBlockStore.options(near).spawn(),
    RemoteBlockStore.options(near).spawn(),
  ])
  const { ref } = await owner.madeFor(notes.path, 9)
  await borrower.keep({ ref })
  await wait([ref])
  process.kill(lastPid(notes), 'SIGKILL')
  t.is(await borrower.kept(), 9)
  t.is(runs(notes, 'make'), 2)
  t.is(await remoteFirstOf.options(near)(ref), 9)
  ref.release()
  await borrower.drop()
  await untilBalanced(t, owner as never, borrower as never)
})

test.serial('a worker that holds results is kept, and lets them go with the last ref', async (t) => {
  await using started = await start()
  const notes = new Notes()
  const blocks = Array.from({ length: 12 }, (_, value) => {
    return remoteMakeBlock.options({ ...far, resources: { cpu: 0.1 } })(notes.path, value)
  })
  await wait(blocks, { count: 12 })
  // Long enough that the workers are given back.
  await becomesTrue(t, 'no task runs', async () => (await started.cluster.tasks()).length === 0)
  const firsts = await Promise.all(blocks.map((block) => remoteFirstOf.options(near)(block)))
  t.deepEqual(
    firsts,
    blocks.map((_, value) => value),
  )
  t.is(runs(notes, 'make'), 12, 'none was lost')
  for (const block of blocks) block.release()
  await untilBalanced(t)
})

test.serial('tasks that call tasks are computed again from the root, and leave nothing held', async (t) => {
  await using started = await start()
  const notes = new Notes()
  const grown = remoteGrowBlock.options(far)(notes.path, 2)
  await wait([grown])
  t.is(runs(notes, 'grow'), 7)
  await started.removeNode()
  await started.addNode({ ...far, resources: { cpu: 2 } })
  t.is(await remoteFirstOf.options(near)(grown), 4)
  t.is(runs(notes, 'grow'), 14)
  grown.release()
  await untilBalanced(t)
})
