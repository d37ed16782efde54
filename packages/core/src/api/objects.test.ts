import test, { type ExecutionContext } from 'ava'
import { InvalidInputError, ObjectLostError } from '../common/errors.js'
import { currentRuntime } from '../runtime/current.js'
import type { ObjectRef } from '../runtime/ref.js'
import { RemoteCounter } from '../testing/counter.js'
import { RemoteHolder, remoteSumOf, remoteSumOfBox } from '../testing/holder.js'
import { crashActor } from '../testing/index.js'
import { RemoteProbe } from '../testing/probe.js'
import { remoteSquare } from '../testing/tasks.js'
import { until } from '../testing/until.js'
import { useCluster } from '../testing/use-cluster.js'
import { killActor, withOptions } from './handle.js'
import { put, wait } from './objects.js'

const cluster = useCluster(test)

/** Resolves once other processes hold that many refs of this one. */
async function untilHeld(t: ExecutionContext, count: number): Promise<void> {
  const { objects } = currentRuntime()
  t.is(
    await until(
      () => objects.size,
      (size) => size === count,
    ),
    count,
  )
}

test.serial('a value that is put is taken as it is, and its ref is an argument for many calls', async (t) => {
  const [left, right] = await Promise.all([RemoteProbe.spawn(), RemoteCounter.spawn(1)])
  const value = { list: [1, 2] }
  const ref = put(value)
  value.list.push(3)
  t.deepEqual(await ref, { list: [1, 2] })
  t.deepEqual(await left.echo(ref), { list: [1, 2] })
  t.is(await right.add(put(4)), 5)
  t.throws(() => put({ callback() {} }), {
    instanceOf: InvalidInputError,
    message: /the value: \.callback is a function/,
  })
})

test.serial('a ref inside of a value stays a ref, which its receiver can await and pass on', async (t) => {
  const [first, second, counter] = await Promise.all([
    RemoteHolder.spawn(),
    RemoteHolder.spawn(),
    RemoteCounter.spawn(),
  ])
  t.is(await first.keep({ refs: [put(20), counter.add(2)] }), 2)
  t.is(await first.sum(), 22)
  const again = await first.give()
  t.is(await second.keep(again), 2)
  t.is(await second.sum(), 22, 'through two processes')
  const { ref } = await first.make(7)
  t.is(await ref, 7, 'a ref that an actor owns')
  await second.keep({ refs: [ref] })
  t.is(await second.sum(), 29)
  await Promise.all([killActor(first), killActor(second)])
  await untilHeld(t, 0)
})

test.serial('a value is freed when the last process that holds a ref lets go of it or dies', async (t) => {
  const [first, second] = await Promise.all([RemoteHolder.spawn(), RemoteHolder.spawn()])
  const ref = put(1)
  await first.keep({ refs: [ref] })
  await second.keep({ refs: [ref] })
  await untilHeld(t, 1)
  await first.drop()
  t.is(await second.sum(), 1)
  await killActor(second)
  await untilHeld(t, 0)
  ref.release()
  await t.throwsAsync(async () => await first.keep({ refs: [ref] }), {
    instanceOf: InvalidInputError,
    message: /was released/,
  })
})

test.serial('a value is lost with the process that owns it, and asking for it says so', async (t) => {
  const owner = await RemoteHolder.spawn()
  const { ref } = await owner.make(5)
  await killActor(owner)
  await t.throwsAsync(() => ref, { instanceOf: ObjectLostError, message: /was lost with the process that owned it/ })
})

test.serial('wait returns what is ready, in the order given, and at the latest when its time is up', async (t) => {
  const [slow, probe] = await Promise.all([RemoteProbe.spawn(), RemoteProbe.spawn()])
  const never = slow.never()
  const [first, second] = [probe.echo(1), probe.echo(2)]
  const some = await wait([never, second, first] as (typeof first)[], { count: 2 })
  t.deepEqual(some.ready, [second, first])
  t.deepEqual(some.pending, [never as unknown as typeof first])
  const late = await wait([never], { timeout: 20 })
  t.deepEqual(late, { ready: [], pending: [never] })
  const failed = probe.throwTypeError()
  t.deepEqual((await wait([failed, never])).ready, [failed], 'a failure is an outcome')
  await t.throwsAsync(() => wait([first], { count: 2 }), { instanceOf: InvalidInputError, message: /2 of 1 refs/ })
})

test.serial('a task can await the refs inside of its arguments, and its worker lets go of them', async (t) => {
  const counter = await RemoteCounter.spawn()
  t.is(await remoteSumOf({ refs: [put(20), counter.add(2)] }), 22)
  await untilHeld(t, 0)
})

test.serial(
  'refs inside of a value that was fetched from its driver, and in the arguments of a constructor, are let go',
  async (t) => {
    const box = put({ refs: [put(3), put(4)] })
    t.is(await remoteSumOfBox({ box }), 7)
    box.release()
    await untilHeld(t, 0)
    const holder = await RemoteHolder.options({ maxRestarts: 1 }).spawn({ refs: [put(5)] })
    t.is(await holder.sum(), 5)
    crashActor(holder)
    t.is(await withOptions(holder, { maxRetries: 1 }).sum(), 5, 'kept for a restart')
    t.is(currentRuntime().objects.size, 1)
    await killActor(holder)
    await untilHeld(t, 0)
  },
)

test.serial('tasks that wait for refs lend their CPUs to what computes them', async (t) => {
  const slow = await RemoteProbe.spawn()
  void slow.see('other calls wait', 400)
  // The task that all wait for gets its argument when they occupy every CPU already.
  const late = remoteSquare(slow.echo(3) as ObjectRef<number>)
  const { resources } = (await cluster().nodes())[0]!
  const sums = Array.from({ length: resources.cpu! + 1 }, () => remoteSumOf({ refs: [late] }))
  t.deepEqual(new Set(await Promise.all(sums)), new Set([9]))
})
