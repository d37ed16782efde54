import { Tensor } from '@troupe/tensor'
import test from 'ava'
import { Channel, ChannelClosedError, DeadlineExceededError, InvalidInputError, killActor, put } from '../index.js'
import { RemoteChannelUser } from '../testing/channel-user.js'
import { crashActor } from '../testing/index.js'
import { run } from '../testing/programs.js'
import { randomValue, seeded } from '../testing/random-values.js'
import { useCluster } from '../testing/use-cluster.js'

// Writers and readers are killed that nobody waits for.
useCluster(test, { onFailure() {} })

test('every reader of a channel gets every message in order, however far the writer is ahead', async (t) => {
  const readers = await Promise.all([RemoteChannelUser.spawn(), RemoteChannelUser.spawn()])
  const channel = new Channel<number>({ readers: 2, capacity: 3 })
  const all = readers.map((reader, index) => reader.readAll(channel.readers[index]!))
  const numbers = Array.from({ length: 2000 }, (_, index) => index)
  await Promise.all(numbers.map((number) => channel.send(number)))
  channel.close()
  for (const received of all) t.deepEqual(await received, numbers)
})

test('values of every kind and size arrive as they were sent', async (t) => {
  const reader = await RemoteChannelUser.spawn()
  const channel = new Channel<unknown>()
  const received = reader.readAll(channel.readers[0]!)
  const sent = [
    ...Array.from({ length: 100 }, (_, seed) => randomValue(seeded(seed))),
    { text: 'x'.repeat(100_000), bytes: new Float64Array(200).fill(1.5) },
    [new Uint8Array(1500), new Float32Array(700).fill(2), new Uint8Array(1200)],
  ]
  for (const value of sent) await channel.send(value)
  const large = Buffer.alloc(3_000_000, 'large')
  await channel.send(large)
  channel.close()
  const arrived = await received
  t.true(large.equals(arrived.pop() as Buffer))
  t.deepEqual(arrived, sent)
})

test('tensors in messages are shared, and live until they have been taken', async (t) => {
  const reader = await RemoteChannelUser.spawn()
  const channel = new Channel<Tensor<'float32'>>({ capacity: 2 })
  const doubled = reader.double(channel.readers[0]!)
  const tensor = Tensor.from('float32', [4], [1, 2, 3, 4])
  await channel.send(tensor)
  for (let round = 0; round < 10; round++) await channel.send(Tensor.zeros('float32', [100]))
  channel.close()
  t.is(await doubled, 11)
  t.deepEqual([...tensor.data], [2, 4, 6, 8])
})

test('refs in messages are held for the reader', async (t) => {
  const reader = await RemoteChannelUser.spawn()
  const channel = new Channel<object>({ capacity: 2 })
  const received = reader.readAll(channel.readers[0]!)
  for (let index = 0; index < 5; index++) await channel.send({ ref: put({ index }) })
  channel.close()
  const refs = (await received) as { ref: Promise<{ index: number }> }[]
  for (const [index, { ref }] of refs.entries()) t.deepEqual(await ref, { index })
})

test('a thread that sleeps in receiveSync wakes for each message', async (t) => {
  const reader = await RemoteChannelUser.spawn()
  const channel = new Channel<number>()
  const sum = reader.sumSync(channel.readers[0]!, 300)
  for (let number = 0; number < 300; number++) {
    await channel.send(number)
    if (number % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  t.is(await sum, (299 * 300) / 2)
})

test('a send waits while a reader is behind, and trySend says so', async (t) => {
  const channel = new Channel<number>({ capacity: 2 })
  const [reader] = channel.readers
  t.is(reader!.tryReceive(), undefined)
  t.true(channel.trySend(1))
  t.true(channel.trySend(2))
  t.false(channel.trySend(3))
  let hasRoom = false
  const sent = channel.send(3).then(() => {
    hasRoom = true
  })
  await new Promise((resolve) => setImmediate(resolve))
  t.false(hasRoom)
  t.is(await reader!.receive(), 1)
  await sent
  t.deepEqual([await reader!.receive(), await reader!.receive()], [2, 3])
  t.throws(() => reader!.receiveSync(1), { instanceOf: DeadlineExceededError })
})

test('the end of a channel comes after what was sent, and a closed reader lets its writer go on', async (t) => {
  const channel = new Channel<string>({ readers: 2, capacity: 1 })
  const [left, right] = channel.readers
  const waiting = right!.receive()
  await channel.send('only')
  t.is(await waiting, 'only')
  left!.close()
  await t.throwsAsync(left!.receive(), { instanceOf: ChannelClosedError })
  const next = right!.receive()
  await channel.send('second')
  t.is(await next, 'second')
  channel.close()
  await t.throwsAsync(right!.receive(), { instanceOf: ChannelClosedError, message: /closed by its writer/ })
  await t.throwsAsync(channel.send('late'), { instanceOf: ChannelClosedError, message: 'the channel was closed' })
})

test('a writer is told that all readers have gone, also when they were killed', async (t) => {
  const reader = await RemoteChannelUser.spawn()
  const channel = new Channel<number>({ capacity: 2 })
  await reader.open(channel.readers[0]!)
  const sends = [channel.send(1), channel.send(2), channel.send(3)]
  await sends[1]
  crashActor(reader)
  await t.throwsAsync(sends[2]!, { instanceOf: ChannelClosedError, message: 'all readers of the channel have gone' })
})

test('what waits for readers that were killed, or for a cluster that is shut down, ends', async (t) => {
  const writer = run(t, 'writer-program.js')
  t.regex(await writer.line(), /ChannelClosedError: all readers of the channel have gone/)
  t.regex(await writer.line(), /ChannelClosedError: the channel was closed: the cluster was shut down/)
  t.regex(await writer.line(), /ChannelClosedError: this reader was closed: the cluster was shut down/)
  t.is(await writer.ended, 0, writer.errors())
})

test('a reader gets what a writer that was killed had sent, and then learns of its death', async (t) => {
  const writer = await RemoteChannelUser.spawn()
  const channel = await writer.count(3, false)
  t.is(await channel.receive(), 0)
  crashActor(writer)
  await killActor(writer)
  t.deepEqual([await channel.receive(), await channel.receive()], [1, 2])
  await t.throwsAsync(channel.receive(), { instanceOf: ChannelClosedError, message: /process \d+, has died/ })
})

test('a reader that waits learns that its writer was killed', async (t) => {
  const writer = await RemoteChannelUser.spawn()
  const silent = await writer.silent()
  const next = silent.receive()
  await killActor(writer)
  await t.throwsAsync(next, { instanceOf: ChannelClosedError, message: /has died/ })
})

test('each reader can be opened by one process only', async (t) => {
  const [first, second] = await Promise.all([RemoteChannelUser.spawn(), RemoteChannelUser.spawn()])
  const channel = new Channel<number>()
  const pid = await first.open(channel.readers[0]!)
  await t.throwsAsync(Promise.resolve(second.open(channel.readers[0]!)), {
    instanceOf: ChannelClosedError,
    message: new RegExp(`reader 0 of the channel is process ${pid} already`),
  })
})

test('options and values that cannot work are refused', async (t) => {
  for (const options of [{ readers: 0 }, { capacity: 1.5 }, { readers: 1000 }]) {
    t.throws(() => new Channel(options), { instanceOf: InvalidInputError })
  }
  const channel = new Channel<unknown>()
  await t.throwsAsync(channel.send({ run: () => 1 }), {
    message: /the message: \.run is a function and cannot be sent/,
  })
})
