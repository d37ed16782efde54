import test from 'ava'
import { InvalidInputError } from '../common/errors.js'
import { RemoteCounter } from '../testing/counter.js'
import { RemoteProbe } from '../testing/probe.js'
import { until } from '../testing/until.js'
import { useCluster } from '../testing/use-cluster.js'

useCluster(test)

test('an async generator streams its items in order', async (t) => {
  const counter = await RemoteCounter.spawn()
  const items: number[] = []
  for await (const item of counter.countTo(500)) items.push(item)
  t.deepEqual(
    items,
    Array.from({ length: 500 }, (_, index) => index + 1),
  )
})

test('a synchronous generator streams too', async (t) => {
  const counter = await RemoteCounter.spawn()
  const letters: string[] = []
  for await (const letter of counter.letters('troupe')) letters.push(letter)
  t.is(letters.join(''), 'troupe')
})

test('a producer waits when its consumer lags by the window', async (t) => {
  const probe = await RemoteProbe.spawn()
  const items = probe.produce(1000)[Symbol.asyncIterator]()
  await items.next()
  t.true((await probe.progress()).produced <= 17)
  for (let count = 1; count < 1000; count++) await items.next()
  t.true((await items.next()).done)
})

test('leaving the loop stops the producer', async (t) => {
  const probe = await RemoteProbe.spawn()
  for await (const item of probe.produce(1_000_000)) if (item === 20) break
  t.true(
    (
      await until(
        () => probe.progress(),
        ({ stopped }) => stopped,
      )
    ).stopped,
  )
  t.true((await probe.progress()).produced < 60)
})

test('a consumer can call the actor that it reads a stream of', async (t) => {
  const counter = await RemoteCounter.spawn()
  const items: number[] = []
  for await (const item of counter.countTo(100)) {
    items.push(item)
    if (items.length % 20 === 0) await counter.add(0)
  }
  t.is(items.length, 100)
})

test('an error comes after the items before it', async (t) => {
  const probe = await RemoteProbe.spawn()
  const items: number[] = []
  const read = async () => {
    for await (const item of probe.produceAndFail()) items.push(item)
  }
  await t.throwsAsync(read, { instanceOf: RangeError, message: 'no third' })
  t.deepEqual(items, [1, 2])
})

test('an async function can return a stream', async (t) => {
  const counter = await RemoteCounter.spawn()
  const open = async () => counter.countTo(2)
  const items: number[] = []
  for await (const item of await open()) items.push(item)
  t.deepEqual(items, [1, 2])
})

test('iterating what returns a value, and awaiting what returns a stream, says what to do instead', async (t) => {
  const probe = await RemoteProbe.spawn()
  const value = probe.echo(1) as unknown as AsyncIterable<number>
  const read = async () => {
    for await (const item of value) t.log(item)
  }
  await t.throwsAsync(read, { instanceOf: InvalidInputError, message: /not a stream: await it/ })
  const stream = probe.delegate(3) as unknown as Promise<void>
  await t.throwsAsync(async () => await stream, { instanceOf: InvalidInputError, message: /for await/ })
})

test('a method that hands on a generator streams too', async (t) => {
  const probe = await RemoteProbe.spawn()
  const items: number[] = []
  for await (const item of probe.delegate(3)) items.push(item)
  t.deepEqual(items, [0, 1, 2])
})
