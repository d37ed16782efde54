import { threadId } from 'node:worker_threads'
import { Tensor } from '@troupe/tensor'
import test, { type ExecutionContext } from 'ava'
import {
  ActorDiedError,
  CancelledError,
  DeadlineExceededError,
  InvalidInputError,
  QueueFullError,
} from '../common/errors.js'
import { RemoteCounter } from '../testing/counter.js'
import { RemoteHolder } from '../testing/holder.js'
import { crashActor } from '../testing/index.js'
import { RemoteLodger } from '../testing/lodger.js'
import { Notes } from '../testing/notes.js'
import { RemotePhoenix } from '../testing/phoenix.js'
import { RemoteProbe } from '../testing/probe.js'
import { until } from '../testing/until.js'
import { useCluster } from '../testing/use-cluster.js'
import { getActor } from './actor.js'
import { currentActor } from './current-actor.js'
import { describeActor, killActor, stopActor, withOptions } from './handle.js'
import { put } from './objects.js'

// Threads that share a process die together, also those of other tests.
const cluster = useCluster(test, { onFailure() {} })

async function died(t: ExecutionContext, call: () => PromiseLike<unknown>, message: RegExp): Promise<void> {
  await t.throwsAsync(async () => await call(), { instanceOf: ActorDiedError, message })
}

for (const isolation of ['process', 'thread', 'local'] as const) {
  const inIt = { isolation }

  test.serial(`${isolation}: an actor is where it was asked for, and knows who it is`, async (t) => {
    const lodger = await RemoteLodger.options(inIt).spawn()
    const { pid, thread, actor, method } = await lodger.whereabouts()
    t.is(pid === process.pid, isolation === 'local')
    t.is(thread === 0, isolation !== 'thread')
    t.is(isolation === 'local' ? thread : threadId, threadId)
    t.is(method, 'whereabouts')
    t.deepEqual(describeActor(lodger), { id: actor!.id, name: actor!.name, pid, nodeId: actor!.nodeId })
    const names = [actor!.name, actor!.name, actor!.name]
    t.deepEqual(await lodger.whoLater(), names)
    t.is(currentActor(), undefined, 'the driver is none')
    const listed = (await cluster().actors()).find(({ id }) => id === actor!.id)
    t.like(listed, { isolation, pid, state: 'alive', nodeId: actor!.nodeId })
  })

  test.serial(`${isolation}: arguments and results are copies, and tensors are shared`, async (t) => {
    const lodger = await RemoteLodger.options(inIt).spawn()
    const list = [1, 2]
    t.deepEqual(await lodger.change(list), [1, 2, 0])
    t.deepEqual(list, [1, 2])
    const bytes = new Uint8Array(5000).fill(1)
    await lodger.keep({ list, bytes })
    list.push(3)
    bytes.fill(9)
    const kept = (await lodger.kept()) as { list: number[]; bytes: Uint8Array }
    t.deepEqual(kept, { list: [1, 2], bytes: new Uint8Array(5000).fill(1) })
    kept.bytes.fill(7)
    t.deepEqual(await lodger.kept(), { list: [1, 2], bytes: new Uint8Array(5000).fill(1) })
    const tensor = Tensor.from('float32', [3], [1, 2, 3])
    await lodger.scale(tensor, 2)
    t.deepEqual([...tensor.data], [2, 4, 6])
  })

  test.serial(`${isolation}: calls run in order, one at a time, also when some wait for refs`, async (t) => {
    const [slow, probe] = await Promise.all([RemoteProbe.spawn(), RemoteProbe.options(inIt).spawn()])
    void probe.see('a', 20)
    void probe.see(slow.see('late', 20))
    void probe.see('c', 5)
    t.deepEqual(await probe.see('d'), ['a', ['late'], 'c', 'd'])
    const counter = await RemoteCounter.options(inIt).spawn()
    const totals = await Promise.all(Array.from({ length: 3000 }, () => counter.add()))
    t.true(totals.every((total, index) => total === index + 1))
  })

  test.serial(`${isolation}: async methods interleave up to their limits`, async (t) => {
    const options = {
      maxConcurrency: 2,
      concurrencyGroups: { io: { limit: 1, methods: ['open', 'waiting'] } },
    } as const
    const actor = await RemotePhoenix.options({ ...inIt, ...options }).spawn(new Notes().path)
    const passing = [actor.pass(), actor.pass(), actor.pass()]
    await until(async () => (await actor.waiting()) === 2)
    await actor.open()
    t.is(await passing[0], 2)
    await until(async () => (await actor.waiting()) === 1)
    await actor.open()
    t.is(await passing[2], 2)
  })

  test.serial(
    `${isolation}: a stream keeps its order, its producer waits, and leaving it stops the producer`,
    async (t) => {
      const probe = await RemoteProbe.options(inIt).spawn()
      const items = probe.produce(1000)[Symbol.asyncIterator]()
      await items.next()
      t.true((await probe.progress()).produced <= 17)
      for (let count = 1; count < 100; count++) t.is((await items.next()).value, count)
      await items.return?.()
      t.true(
        (
          await until(
            () => probe.progress(),
            ({ stopped }) => stopped,
          )
        ).stopped,
      )
      t.true((await probe.progress()).produced < 140)
      const read = async () => {
        for await (const item of probe.produceAndFail()) t.true(item < 3)
      }
      await t.throwsAsync(read, { instanceOf: RangeError, message: 'no third' })
    },
  )

  test.serial(`${isolation}: calls are cancelled, late ones fail, and too many are refused`, async (t) => {
    const notes = new Notes()
    const actor = await RemotePhoenix.options({ ...inIt, maxPendingCalls: 3 }).spawn(notes.path)
    const running = actor.untilCancelled('running')
    const waiting = actor.note('waiting')
    await notes.include('running began')
    waiting.cancel()
    running.cancel()
    for (const call of [waiting, running]) await t.throwsAsync(async () => await call, { instanceOf: CancelledError })
    await notes.include('running aborted')
    const late = withOptions(actor, { deadline: 30 }).untilCancelled('late')
    await t.throwsAsync(async () => await late, { instanceOf: DeadlineExceededError })
    const many = await Promise.allSettled(Array.from({ length: 5 }, () => actor.pid()))
    t.is(many.filter(({ status }) => status === 'rejected').length, 2)
    t.true(many[4]!.status === 'rejected' && many[4]!.reason instanceof QueueFullError)
    t.false(notes.lines().includes('waiting'))
  })

  test.serial(`${isolation}: errors arrive with their class and both stacks`, async (t) => {
    const probe = await RemoteProbe.options(inIt).spawn()
    const error = await t.throwsAsync<TypeError>(async function theCaller() {
      await probe.throwTypeError()
    })
    t.true(error instanceof TypeError)
    t.regex(error.stack!, /Probe\.throwTypeError[\s\S]*called as Probe#\d+\.throwTypeError from[\s\S]*theCaller/)
    const unsendable = { instanceOf: InvalidInputError, message: /\.nested\[0\] is a function/ }
    await t.throwsAsync(async () => await probe.unsendable(), unsendable)
    await t.throwsAsync(() => RemoteCounter.options(inIt).spawn(-1), { instanceOf: RangeError })
  })

  test.serial(`${isolation}: a handle is called from a process, and calls others itself`, async (t) => {
    const [counter, probe] = await Promise.all([RemoteCounter.options(inIt).spawn(1), RemoteProbe.spawn()])
    t.is(await probe.addThrough(counter, 4), 5)
    const lodger = await RemoteLodger.options(inIt).spawn()
    for (const own of ['process', 'thread', 'local'] as const) {
      const child = await lodger.spawn(own)
      t.is(await child.add(2), 42, `a ${own} in a ${isolation}`)
      t.is((await child.where())!.pid === describeActor(lodger).pid && own === 'process', false)
    }
  })

  test.serial(`${isolation}: it knows who it is in each of many calls that follow each other at once`, async (t) => {
    const [lodger, caller] = await Promise.all([RemoteLodger.options(inIt).spawn(), RemoteLodger.spawn()])
    t.deepEqual(await caller.ask(lodger, 200), [describeActor(lodger).name])
  })

  test.serial(`${isolation}: refs inside of values are held, passed on and freed`, async (t) => {
    const [holder, other] = await Promise.all([RemoteHolder.options(inIt).spawn(), RemoteHolder.spawn()])
    t.is(await holder.keep({ refs: [put(20), put(2)] }), 2)
    t.is(await holder.sum(), 22)
    t.is(await other.keep(await holder.give()), 2)
    t.is(await other.sum(), 22)
    const { ref } = await holder.make(7)
    t.is(await ref, 7)
    await other.keep({ refs: [ref] })
    t.is(await other.sum(), 29)
    await Promise.all([holder.drop(), other.drop()])
  })

  test.serial(`${isolation}: an actor is found by its name`, async (t) => {
    const name = `named ${isolation}`
    const counter = await RemoteCounter.options({ ...inIt, name }).spawn(3)
    t.is(await (await RemoteCounter.get(name)).add(1), 4)
    t.is(describeActor(await getActor(name)).id, describeActor(counter).id)
    await t.throwsAsync(() => RemoteCounter.options({ ...inIt, name }).spawn(), { message: /lives already/ })
    const same = await RemoteCounter.options({ ...inIt, name, getIfExists: true }).spawn(50)
    t.is(await same.add(0), 4)
  })

  test.serial(`${isolation}: stop answers the calls before and runs onStop, kill does not`, async (t) => {
    const notes = new Notes()
    const [stopped, killed] = await Promise.all([
      RemotePhoenix.options(inIt).spawn(notes.path),
      RemotePhoenix.options(inIt).spawn(notes.path),
    ])
    const last = stopped.note('last call')
    await stopActor(stopped)
    t.is(await last, 'last call')
    t.deepEqual(notes.lines().slice(-2), ['last call', 'onStop'])
    await died(t, () => stopped.note('late'), /it was stopped/)
    const pending = killed.untilCancelled('never')
    await notes.include('never began')
    await killActor(killed)
    await died(t, () => pending, /killed by killActor/)
    if (isolation === 'local') await notes.include('never aborted')
    t.is(notes.lines().filter((line) => line === 'onStop').length, 1)
  })

  test.serial(
    `${isolation}: an actor that crashes is restarted, and lost calls are made again where asked for`,
    async (t) => {
      const notes = new Notes()
      const Restarting = RemotePhoenix.options({ ...inIt, maxRestarts: 1, maxTaskRetries: 1 })
      const actor = await Restarting.spawn(notes.path, 'born')
      const { id } = describeActor(actor)
      const lost = actor.untilCancelled('lost')
      await notes.include('lost began')
      crashActor(actor)
      const next = actor.note('next')
      await notes.include('onRestart 1')
      await until(() => notes.lines().filter((line) => line === 'lost began').length === 2)
      lost.cancel()
      t.is(await next, 'next')
      t.is(describeActor(actor).id, id)
      t.is(notes.lines().filter((line) => line === 'born').length, 2)
      t.true(notes.lines().includes('onRestart 1'))
      t.truthy(await actor.reason())
    },
  )

  test.serial(
    `${isolation}: the death of an actor without restarts fails its calls and ends what it owns`,
    async (t) => {
      const probe = await RemoteProbe.options(inIt).spawn()
      const { handle } = await probe.spawnCounter()
      const pending = probe.never()
      crashActor(probe)
      await died(t, () => pending, isolation === 'local' ? /it left the process/ : /was killed by SIGKILL/)
      await died(t, () => handle.add(1), /its owner Probe#\d+ died/)
    },
  )

  test.serial(`${isolation}: a parent decides about what it spawned`, async (t) => {
    const lodger = await RemoteLodger.options(inIt).spawn()
    const child = await lodger.spawn('process')
    await child.add(1)
    crashActor(child)
    t.is(await withOptions(child, { maxRetries: 1 }).add(0), 40, 'it is constructed anew')
  })

  test.serial(`${isolation}: a mesh is spawned, called and stopped as one`, async (t) => {
    const mesh = await RemoteCounter.options(inIt).spawnMesh({ row: 2, column: 2 }, ({ rank }) => [rank])
    const values = (await mesh.call('add', 10)).map(({ value }) => value)
    t.deepEqual(values, [10, 11, 12, 13])
    t.like(await mesh.at({ row: 1, column: 0 }).where(), { rank: 2, coordinates: { row: 1, column: 0 } })
    await mesh.stop()
    await died(t, () => mesh.at({ row: 0, column: 0 }).add(), /it was stopped/)
  })
}
