import { Tensor } from '@troupe/tensor'
import test from 'ava'
import { Channel, ChannelClosedError, InvalidInputError, killActor } from '../index.js'
import { RemoteChannelUser } from '../testing/channel-user.js'
import { TestCluster } from '../testing/index.js'

test('a channel carries messages between nodes as it does on one', async (t) => {
  const nodes = await TestCluster.start([{ labels: { at: 'head' } }, { labels: { at: 'other' } }])
  try {
    const [here, there] = await Promise.all(
      ['head', 'other'].map((at) => RemoteChannelUser.options({ labels: { at } }).spawn()),
    )
    // From an actor to one of another node, through the driver, which is on neither.
    const numbers = await there!.readAll(await here!.count(100))
    t.deepEqual(
      numbers,
      Array.from({ length: 100 }, (_, index) => index),
    )

    // From the driver, tensors as copies.
    const channel = new Channel<Tensor<'float32'>>({ readers: 2, capacity: 2 })
    const tensor = Tensor.from('float32', [3], [1, 2, 3])
    const doubled = [here!.double(channel.readers[0]!), there!.double(channel.readers[1]!)]
    for (let round = 0; round < 40; round++) await channel.send(tensor)
    channel.close()
    t.deepEqual(await Promise.all(doubled), [40, 40])
    t.deepEqual([...tensor.data], [1, 2, 3])

    // To the driver.
    const own = await there!.count(20)
    const received: number[] = []
    for await (const number of own) received.push(number)
    t.is(received.length, 20)
    const late = await there!.silent()
    t.throws(() => late.receiveSync(1), { instanceOf: InvalidInputError })
    const next = late.receive()
    await killActor(there!)
    await t.throwsAsync(next, { instanceOf: ChannelClosedError, message: /has gone/ })
  } finally {
    await nodes[Symbol.asyncDispose]()
  }
})
