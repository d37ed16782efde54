import test from 'ava'
import { connect, killActor, placementGroup, stopActor } from '../index.js'
import { type Closing, RemoteCloser } from '../testing/closer.js'
import { TestCluster } from '../testing/index.js'
import { processesOf, untilGone } from '../testing/leftovers.js'
import { logOf } from '../testing/log-lines.js'
import { Notes } from '../testing/notes.js'
import { run } from '../testing/programs.js'

for (const how of ['shutdown', 'return', 'exit', 'fail', 'SIGINT', 'SIGTERM', 'SIGKILL']) {
  test.serial(`actors run their onStop when their driver ends by ${how}`, async (t) => {
    const notes = new Notes()
    const driver = run(t, 'closer-program.js', notes.path, how)
    const id = await driver.line()
    if (how.startsWith('SIG')) driver.child.kill(how as NodeJS.Signals)
    await driver.ended
    await untilGone(t, () => processesOf(id))
    const ends = notes.lines().filter((line) => line.endsWith(' ends'))
    t.deepEqual(ends.toSorted(), ['owned ends', 'process ends', 'thread ends'])
  })
}

test.serial('actors run their onStop whoever ends them in order, once, and not when they are killed', async (t) => {
  const notes = new Notes()
  await using started = await TestCluster.start([{}, { labels: { zone: 'far' } }])
  const spawn = (label: string) => RemoteCloser.spawn(notes.path, label)
  const owner = await spawn('owner')
  await owner.spawn('owned')
  await owner.stopChild()
  t.deepEqual(notes.lines(), ['owned begins', 'owned ends'])
  const mesh = await RemoteCloser.spawnMesh({ member: 2 }, ({ rank }) => [notes.path, `member ${rank}`])
  await mesh.stop()
  const group = await placementGroup([{ cpu: 1 }])
  await RemoteCloser.options({ placementGroup: group, resources: { cpu: 1 } }).spawn(notes.path, 'in a group')
  await group.remove()
  const killed = await spawn('killed')
  await killActor(killed)
  const local = await RemoteCloser.options({ isolation: 'local' }).spawn(notes.path, 'local')
  void local.never()
  await RemoteCloser.options({ detached: true, name: 'detached' }).spawn(notes.path, 'detached')
  await RemoteCloser.options({ labels: { zone: 'far' } }).spawn(notes.path, 'on a node')
  await started.removeNode()
  await started[Symbol.asyncDispose]()
  const expected = ['owned', 'owner', 'member 0', 'member 1', 'in a group', 'on a node', 'local', 'detached']
  t.deepEqual(notes.lines().toSorted(), expected.flatMap((label) => [`${label} begins`, `${label} ends`]).toSorted())
})

test.serial('an onStop that does not end, or throws, holds nothing up for long', async (t) => {
  const notes = new Notes()
  const cluster = await connect({ onLog: logOf(t) })
  const spawn = (closing: Closing) => RemoteCloser.spawn(notes.path, closing, closing)
  await Promise.all((['ends', 'hangs', 'blocks', 'throws'] as const).map(spawn))
  const stopped = await Promise.all([spawn('hangs'), spawn('throws')])
  const blocked = await spawn('blocks')
  await Promise.all([...stopped.map(stopActor), stopActor(blocked).catch(() => {})])
  await cluster.shutdown()
  await untilGone(t, () => processesOf(cluster.id))
  const lines = notes.lines()
  t.is(lines.filter((line) => line.endsWith(' begins')).length, 7)
  t.deepEqual(
    lines.filter((line) => line.endsWith(' ends')),
    ['ends ends'],
  )
})

test.serial('an actor that may run any number of calls at a time runs its onStop when it is stopped', async (t) => {
  const notes = new Notes()
  await using _cluster = await connect({ onLog: logOf(t) })
  const limits = [1e9, 2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER]
  for (const limit of limits) {
    const closer = await RemoteCloser.options({ maxConcurrency: limit }).spawn(notes.path, String(limit))
    const grouped = await RemoteCloser.options({
      concurrencyGroups: { all: { limit, methods: ['pause'] } },
    }).spawn(notes.path, `${limit} in a group`)
    const running = [closer, grouped].flatMap((each) => [each.pause(), each.pause(), each.pause()])
    await Promise.all([stopActor(closer), stopActor(grouped)])
    t.deepEqual(await Promise.all(running), [1, 2, 3, 1, 2, 3], 'what ran when it was stopped is answered')
  }
  const labels = limits.flatMap((limit) => [String(limit), `${limit} in a group`])
  const expected = labels.flatMap((label) => [`${label} begins`, `${label} ends`])
  t.deepEqual(notes.lines().toSorted(), expected.toSorted())
})
