import test from 'ava'
import {
  ActorDiedError,
  ClusterLostError,
  connect,
  describeActor,
  InvalidInputError,
  killActor,
  placementGroup,
  wait,
} from '../index.js'
import { RemoteCounter } from '../testing/counter.js'
import { TestCluster } from '../testing/index.js'
import { processesOf, untilGone } from '../testing/leftovers.js'
import { Notes } from '../testing/notes.js'
import { RemoteProbe } from '../testing/probe.js'
import { run } from '../testing/programs.js'
import { remoteSquare, remoteUntilCancelled, remoteWhereAmI } from '../testing/tasks.js'
import { until } from '../testing/until.js'

test.serial('an actor waits for resources that others hold, and is refused what no node could ever give', async (t) => {
  await using cluster = await connect({ resources: { cpu: 4, gpu: 2, licence: 1 } })
  const licensed = RemoteCounter.options({ resources: { licence: 1 } })
  const first = await licensed.spawn(1)
  let isPlaced = false
  const second = licensed.spawn(2).then((handle) => {
    isPlaced = true
    return handle
  })
  t.is(await first.add(1), 2)
  const [node] = await cluster.nodes()
  t.is(node!.free.licence, 0)
  t.false(isPlaced)
  await killActor(first)
  t.is(await (await second).add(1), 3)
  await t.throwsAsync(() => RemoteCounter.options({ name: 'big', resources: { licence: 2 } }).spawn(), {
    instanceOf: InvalidInputError,
    message: /big can be placed nowhere: the best place lacks licence: 2 \(of 1\)/,
  })
  await t.throwsAsync(() => RemoteCounter.options({ resources: { absent: 1 } }).spawn(), {
    message: /absent: 1 \(of 0\)/,
  })
})

test.serial('actors and tasks see the GPUs that they were given, and parts of one share it', async (t) => {
  await using _cluster = await connect({ resources: { gpu: 2 } })
  const visible = async (gpu: number) => {
    const probe = await RemoteProbe.options({ resources: { gpu } }).spawn()
    return { probe, gpus: (await probe.environment('CUDA_VISIBLE_DEVICES')) ?? 'none' }
  }
  const [half, otherHalf] = [await visible(0.5), await visible(0.5)]
  t.is(half.gpus, otherHalf.gpus)
  const whole = await visible(1)
  t.not(whole.gpus, half.gpus)
  await Promise.all([half, otherHalf, whole].map(({ probe }) => killActor(probe)))
  t.deepEqual((await visible(2)).gpus.split(',').sort(), ['0', '1'])
  t.throws(() => RemoteProbe.options({ resources: { gpu: 1.5 } }), { message: /gpu must be a whole number or below 1/ })
})

test.serial('placement groups lie as their strategy says, and their removal frees everything', async (t) => {
  const head = run(t, 'head-program.js', '0', '{"resources":{"cpu":2,"slot":1},"labels":{"zone":"a"}}')
  const address = await head.line()
  const node = run(t, 'node-program.js', address, '{"resources":{"cpu":2},"labels":{"zone":"b"}}')
  await node.line()
  await using cluster = await connect({ address })
  const cpu = { cpu: 1 }
  const layout = async (...args: Parameters<typeof placementGroup>) => {
    const group = await placementGroup(...args)
    await group.remove()
    return new Set(group.nodeIds).size
  }
  t.is(await layout([cpu, cpu], 'PACK'), 1)
  t.is(await layout([cpu, cpu], 'SPREAD'), 2)
  t.is(await layout([cpu, cpu], 'STRICT_PACK'), 1)
  t.is(await layout([cpu, cpu], 'STRICT_SPREAD'), 2)
  t.is(await layout([cpu, cpu, cpu], 'PACK'), 2)
  for (const strategy of ['STRICT_PACK', 'STRICT_SPREAD'] as const) {
    const refusal = { instanceOf: InvalidInputError, message: /can be placed nowhere: STRICT/ }
    await t.throwsAsync(() => placementGroup([cpu, cpu, cpu], strategy), refusal)
  }

  const group = await placementGroup([cpu, cpu], 'STRICT_SPREAD')
  const mesh = await RemoteCounter.options({ placementGroup: group, resources: cpu }).spawnMesh({ member: 2 })
  t.deepEqual(
    (await mesh.call('where')).map(({ value }) => value?.nodeId),
    group.nodeIds,
  )
  const [info] = await cluster.placementGroups()
  t.deepEqual(
    info?.bundles.map(({ free }) => free.cpu),
    [0, 0],
  )
  await group.remove()
  await t.throwsAsync(() => mesh.call('add', 1), { instanceOf: ActorDiedError, message: /placement group was removed/ })
  t.deepEqual(
    (await cluster.nodes()).map(({ free }) => free.cpu),
    [2, 2],
  )
  t.deepEqual(await cluster.placementGroups(), [])

  const [headNode, otherNode] = await cluster.nodes()
  const labelled = await RemoteCounter.options({ labels: { zone: 'b' } }).spawn()
  t.is(describeActor(labelled).nodeId, otherNode!.id)
  const needy = await RemoteCounter.options({ resources: { slot: 1 } }).spawn()
  t.is(describeActor(needy).nodeId, headNode!.id)
  t.is(typeof (await remoteWhereAmI.options({ labels: { zone: 'b' } })()).pid, 'number')
  await t.throwsAsync(() => RemoteCounter.options({ labels: { zone: 'c' } }).spawn(), {
    message: /no node has the labels/,
  })
  const { id } = cluster
  await cluster.shutdown()
  head.child.kill('SIGTERM')
  await head.ended
  await untilGone(t, () => processesOf(id))
})

test.serial('memory is handed out as other resources are, to actors and tasks alike', async (t) => {
  await using cluster = await connect({ resources: { cpu: 4, memory: 1e9 } })
  const first = await RemoteCounter.options({ resources: { memory: 6e8 } }).spawn(1)
  const free = async () => (await cluster.nodes())[0]!.free.memory
  t.is(await free(), 4e8)
  const task = remoteWhereAmI.options({ resources: { memory: 5e8 } })()
  t.deepEqual((await wait([task], { timeout: 100 })).ready, [], 'it does not fit beside the actor')
  await killActor(first)
  t.true((await task).pid > 0)
  await t.throwsAsync(async () => await remoteWhereAmI.options({ resources: { memory: 2e9 } })(), {
    instanceOf: InvalidInputError,
    message: /memory: 2000000000 \(of 1000000000\)/,
  })
})

test.serial('a task of a placement group runs in its bundle, and ends when the group is removed', async (t) => {
  await using started = await TestCluster.start([{ resources: { cpu: 1 } }, { resources: { cpu: 1 } }])
  const group = await placementGroup([{ cpu: 1 }, { cpu: 1 }], 'STRICT_SPREAD')
  const notes = new Notes()
  const inSecond = remoteUntilCancelled.options({ placementGroup: group, bundle: 1, maxRetries: 0 })
  const running = inSecond(notes.path, 'task')
  await notes.include('task began')
  const [task] = await started.cluster.tasks()
  t.is(task!.nodeId, group.nodeIds[1]!)
  await group.remove()
  await t.throwsAsync(() => running, { message: /placement group was removed/ })
  t.deepEqual(
    (await started.cluster.nodes()).map(({ free }) => free.cpu),
    [1, 1],
  )
})

test.serial('what still waits when the cluster is shut down fails, and says so', async (t) => {
  const cluster = await connect({ resources: { cpu: 1, licence: 1 } })
  const licensed = RemoteCounter.options({ resources: { licence: 1 } })
  await licensed.spawn()
  const waiting = [
    licensed.spawn(),
    placementGroup([{ licence: 1 }]),
    remoteSquare.options({ resources: { licence: 1 } })(2),
  ]
  const failures = Promise.all(waiting.map((one) => t.throwsAsync(async () => await one)))
  await until(async () => (await cluster.actors()).length === 2)
  await cluster.shutdown()
  const [spawn, group, task] = await failures
  t.true(spawn instanceof ActorDiedError, String(spawn))
  for (const failure of [group, task]) t.true(failure instanceof ClusterLostError, String(failure))
})

test.serial('what waits for resources is reported, with what is missing', async (t) => {
  const driver = run(t, 'waiting-program.js')
  await driver.line()
  t.regex(await driver.untilError(/waits/), /\[troupe\] second waits for licence: 1 \(0 free\)/)
  driver.child.kill('SIGKILL')
})

test.serial('a thousand actors that wait are told of in a line that counts them', async (t) => {
  const program = run(t, 'queue-program.js')
  t.is(await program.line(), 'waiting')
  const counted = /\[troupe\] Counter#\d+ waits for licence: 1 .*, and (\d+) others wait for resources, too\n/
  const errors = await program.untilError(/waits? for/)
  t.regex(errors, counted)
  t.is(errors.trim().split('\n').length, 1)
  program.child.kill('SIGTERM')
  await program.ended
  t.true(program.errors().trim().split('\n').length <= 2, program.errors())
})

test.serial('a large demand is not starved by many small ones', async (t) => {
  await using _cluster = await connect({ resources: { cpu: 2 } })
  const pending = new Set<Promise<unknown>>()
  let isMet = false
  let small = 0
  const stream = async () => {
    while (!isMet && small < 100_000) {
      small += 1
      await remoteSquare(3)
    }
  }
  for (let count = 0; count < 6; count++) pending.add(stream())
  await remoteSquare(1)
  const large = await remoteWhereAmI.options({ resources: { cpu: 2 } })()
  isMet = true
  t.is(typeof large.pid, 'number')
  t.true(small < 100_000, 'while small ones went on')
  await Promise.all(pending)
})

test.serial(
  'a bundle whose node was lost is reserved anew on another, and what was in it comes back there',
  async (t) => {
    await using test = await TestCluster.start([{}, { resources: { slot: 1 } }])
    const group = await placementGroup([{ slot: 1 }])
    const inGroup = RemoteCounter.options({
      placementGroup: group,
      resources: { slot: 1 },
      maxRestarts: 3,
      maxTaskRetries: 3,
    })
    const counter = await inGroup.spawn(5)
    t.is(await counter.add(1), 6)
    await test.removeNode()
    // The head hears of it a little later.
    const nodeOfBundle = async () => (await test.cluster.placementGroups())[0]!.bundles[0]!.nodeId
    t.is(await until(nodeOfBundle, (node) => node === ''), '')
    const again = counter.add(1)
    await test.addNode({ resources: { slot: 1 } })
    t.is(await again, 6, 'constructed anew')
    const [found] = await test.cluster.placementGroups()
    t.is(found!.bundles[0]!.nodeId, (await test.cluster.nodes()).at(-1)!.id)
    await group.remove()
    t.is((await test.cluster.nodes()).at(-1)!.free.slot, 1)
  },
)
