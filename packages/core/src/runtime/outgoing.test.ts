import { join } from 'node:path'
import test from 'ava'
import { killActor, put, withOptions } from '../index.js'
import { RemoteCounter } from '../testing/counter.js'
import { TestCluster } from '../testing/index.js'
import { RemoteReceiver, RemoteSender, remoteReceiveAgain, sentValues, spoil } from '../testing/sender.js'
import { temporaryFolder } from '../testing/temporary.js'
import { until } from '../testing/until.js'

const asSent = () => {
  const { plain, small, large, shared } = sentValues()
  return [plain, small, large, new Float32Array(shared), large]
}

test.serial('arguments arrive as they were when the call was made, also when sent again to another node', async (t) => {
  const slot = { resources: { slot: 1 } }
  await using started = await TestCluster.start([slot, slot])
  const [first, second] = await started.cluster.nodes()
  const occupied = await RemoteCounter.options({ ...slot, nodeId: second!.id }).spawn()
  const sender = await RemoteSender.options({ nodeId: first!.id }).spawn()
  t.is(await sender.spawn(), first!.id)
  // It gets the receiver's place as soon as that dies, so that the receiver has to move.
  const next = RemoteCounter.options({ ...slot, nodeId: first!.id }).spawn()
  await killActor(occupied)
  await until(async () => (await started.cluster.nodes()).at(-1)!.free.slot === 1)
  const { values, nodeId } = await sender.send()
  t.is(nodeId, second!.id)
  t.deepEqual(values, asSent())
  await killActor(await next)
})

test.serial('arguments of calls and tasks from another node arrive as they were, also when sent again', async (t) => {
  await using _started = await TestCluster.start()
  const receiver = await RemoteReceiver.options({ maxRestarts: 1 }).spawn()
  const sent = sentValues()
  const { plain, small, large, shared } = sent
  const late = put(large)
  const fromActor = withOptions(receiver, { maxRetries: 1 }).receive(plain, small, large, shared, late)
  const fromTask = remoteReceiveAgain(join(temporaryFolder(t, {}), 'seen'), plain, small, large, shared, late)
  spoil(sent)
  t.deepEqual((await fromActor).values, asSent())
  t.deepEqual(await fromTask, asSent())
})
