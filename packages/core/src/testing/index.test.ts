import test from 'ava'
import { ActorDiedError, ActorUnreachableError, withOptions } from '../index.js'
import { RemoteCounter } from './counter.js'
import { crashActor, delayLink, dropLink, TestCluster } from './index.js'
import { RemoteProbe } from './probe.js'

test.serial('a cluster of several nodes runs for a test, and a node can be taken away', async (t) => {
  await using started = await TestCluster.start([{ labels: { zone: 'a' } }, { labels: { zone: 'b' } }])
  t.is((await started.cluster.nodes()).length, 2)
  const [near, far] = await Promise.all(['a', 'b'].map((zone) => RemoteCounter.options({ labels: { zone } }).spawn()))
  t.is(await far!.add(near!.add(2)), 2)
  await started.removeNode()
  await t.throwsAsync(async () => await far!.add(1), { instanceOf: ActorDiedError })
  t.is(await near!.add(1), 3)
})

test.serial('a crash, a dropped link and a slow one can be brought about', async (t) => {
  await using _started = await TestCluster.start()
  const probe = await RemoteProbe.spawn()
  const lost = probe.never()
  dropLink(probe)
  await t.throwsAsync(() => lost, {
    instanceOf: ActorUnreachableError,
    message: /whether it ran the call is not known/,
  })

  const counter = await RemoteCounter.spawn()
  dropLink(counter)
  t.is(await counter.add(1), 1, 'the link is opened anew')
  const undo = delayLink(counter, 50)
  const began = performance.now()
  t.deepEqual(await Promise.all([counter.add(1), counter.add(1)]), [2, 3])
  t.true(performance.now() - began >= 49)
  undo()
  crashActor(counter)
  await t.throwsAsync(async () => await withOptions(counter, { deadline: 20_000 }).add(1), {
    instanceOf: ActorDiedError,
  })
})
