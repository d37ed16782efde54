import test from 'ava'
import { connect, describeActor, getActor, InvalidInputError, killActor, withOptions } from '../index.js'
import { type Counter, RemoteCounter } from '../testing/counter.js'
import { isAlive, untilGone } from '../testing/leftovers.js'
import { run } from '../testing/programs.js'
import { until } from '../testing/until.js'

test.serial('a detached actor outlives its driver, and a second driver finds it by name', async (t) => {
  const head = run(t, 'head-program.js')
  const address = await head.line()
  const first = run(t, 'service-program.js', address, 'shop')
  t.is(await first.line(), '101')
  t.is(await first.ended, 0)
  const second = run(t, 'service-program.js', address, 'shop')
  t.is(await second.line(), '102')
  const elsewhere = run(t, 'service-program.js', address, 'another')
  t.is(await elsewhere.line(), '101')
  await Promise.all([second.ended, elsewhere.ended])

  await using _cluster = await connect({ address, namespace: 'shop' })
  const hits = await getActor<Counter>('hits')
  t.is(await hits.add(), 103)
  const other = await RemoteCounter.get('hits', { namespace: 'another' })
  t.is(await other.add(), 102)
  await t.throwsAsync(() => getActor('hits', { namespace: 'third' }), {
    instanceOf: InvalidInputError,
    message: /no actor named hits lives in the namespace third/,
  })
  const { pid } = describeActor(hits)
  await killActor(hits)
  await untilGone(t, () => [pid].filter(isAlive))
  await t.throwsAsync(() => getActor('hits'), { instanceOf: InvalidInputError })
  head.child.kill('SIGTERM')
  await head.ended
})

test.serial(
  'of several who ask at a time for an actor that nobody has spawned yet, all get the same one',
  async (t) => {
    await using cluster = await connect({ resources: { slot: 1 } })
    const shared = RemoteCounter.options({ name: 'shared', getIfExists: true, resources: { slot: 1 } })
    const handles = await Promise.all([shared.spawn(1), shared.spawn(1), shared.spawn(1)])
    t.is(new Set(handles.map((handle) => describeActor(handle).id)).size, 1)
    t.deepEqual(await Promise.all(handles.map((handle) => handle.add(1))), [2, 3, 4])
    const next = RemoteCounter.options({ name: 'next', getIfExists: true, resources: { slot: 1 } })
    const waiting = next.spawn(10)
    await until(async () => (await cluster.actors()).length === 2)
    const found = getActor<Counter>('next')
    await killActor(handles[0]!)
    t.is(describeActor(await waiting).id, describeActor(await found).id, 'one that waits for resources is waited for')
    t.is((await cluster.actors()).length, 1)
  },
)

test.serial('an actor that is restarted is found by its name, once it is back', async (t) => {
  await using _cluster = await connect()
  const named = await RemoteCounter.options({ name: 'back', maxRestarts: 3 }).spawn(5)
  for (let round = 0; round < 2; round++) {
    process.kill(describeActor(named).pid, 'SIGKILL')
    await t.throwsAsync(async () => await withOptions(named, { maxRetries: 0, deadline: 20_000 }).add(0))
    const again = await getActor<Counter>('back')
    t.is(await withOptions(again, { maxRetries: 1 }).add(1), 6)
  }
})

test.serial('an actor finds by name what its driver named, and a restarted actor keeps its name', async (t) => {
  await using _cluster = await connect()
  const named = await RemoteCounter.options({ name: 'kept', maxRestarts: 1 }).spawn(5)
  process.kill(describeActor(named).pid, 'SIGKILL')
  t.is(await withOptions(named, { maxRetries: 1 }).add(0), 5)
  t.is(await (await getActor<Counter>('kept')).add(1), 6)
})

test.serial(
  'while an actor is killed its name gives no dying one: who asks with getIfExists gets a new one',
  async (t) => {
    await using _cluster = await connect()
    const shared = RemoteCounter.options({ name: 'shared', getIfExists: true })
    const first = await shared.spawn(5)
    const killing = killActor(first)
    const [second, third] = await Promise.all([shared.spawn(10), shared.spawn(10)])
    t.is(await second.add(1), 11)
    t.is(await third.add(1), 12)
    await killing
  },
)
