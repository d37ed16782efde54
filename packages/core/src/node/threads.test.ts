import test from 'ava'
import {
  ActorDiedError,
  connect,
  describeActor,
  type Handle,
  InvalidInputError,
  killActor,
  stopActor,
} from '../index.js'
import { type Counter, RemoteCounter } from '../testing/counter.js'
import { TestCluster } from '../testing/index.js'
import { isAlive, untilGone } from '../testing/leftovers.js'
import { RemoteLodger } from '../testing/lodger.js'
import { logOf } from '../testing/log-lines.js'
import { RemoteProbe } from '../testing/probe.js'
import { run } from '../testing/programs.js'

const Threaded = RemoteLodger.options({ isolation: 'thread' })

async function pidOf(handle: Handle<{ whereabouts(): { pid: number } }>): Promise<number> {
  return (await handle.whereabouts()).pid
}

test.serial('threads that are started alike share a process, which ends with the last of them', async (t) => {
  await using _cluster = await connect({ onLog: logOf(t) })
  const [first, second] = await Promise.all([Threaded.spawn(), Threaded.spawn()])
  const apart = await Threaded.options({ env: { PROBE: 'yes' }, cwd: '/', nodeFlags: ['--trace-exit'] }).spawn()
  const shared = await pidOf(first)
  t.is(await pidOf(second), shared)
  t.not(await pidOf(apart), shared)
  const { value, folder, flags } = await apart.environment('PROBE')
  t.deepEqual([value, folder], ['yes', '/'])
  t.true(flags.includes('--trace-exit'))
  t.is((await first.environment('PROBE')).value, undefined)
  await stopActor(first)
  t.true(isAlive(shared))
  await killActor(second)
  await untilGone(t, () => [shared].filter(isAlive))
  t.is(typeof (await pidOf(await Threaded.spawn())), 'number', 'and another one is started when it is needed again')
})

test.serial('a thread that is stuck in a loop is killed, and those beside it live', async (t) => {
  await using _cluster = await connect({ onLog: logOf(t) })
  const [stuck, beside] = await Promise.all([Threaded.spawn(), Threaded.spawn()])
  const spinning = stuck.spin()
  await t.throwsAsync(
    async () => {
      await killActor(stuck)
      await spinning
    },
    { instanceOf: ActorDiedError, message: /killed by killActor/ },
  )
  t.is(typeof (await pidOf(beside)), 'number')
})

test.serial('the death of a thread has its exit code and last lines, or what it failed of', async (t) => {
  await using cluster = await connect({ onLog: logOf(t) })
  const [quitter, beside] = await Promise.all([Threaded.options({ name: 'quitter' }).spawn(), Threaded.spawn()])
  const error = await t.throwsAsync<ActorDiedError>(async () => await quitter.complain('near the edge'), {
    instanceOf: ActorDiedError,
    message: /its thread exited with code 5/,
  })
  t.deepEqual(error.lines, ['near the edge'])
  t.deepEqual(await cluster.logs('quitter'), ['near the edge'])
  const thrower = await RemoteProbe.options({ isolation: 'thread' }).spawn()
  const message = /its thread exited with code 1 \(Error: thrown outside of a call\)/
  await t.throwsAsync(async () => await thrower.throwOutsideOfACall(), { instanceOf: ActorDiedError, message })
  t.is(typeof (await pidOf(beside)), 'number')
})

test.serial('the end of their process is the end of its threads', async (t) => {
  await using _cluster = await connect({ onLog: logOf(t) })
  const lodgers = await Promise.all([Threaded.spawn(), Threaded.spawn()])
  const calls = lodgers.map((lodger) => lodger.spin())
  process.kill(describeActor(lodgers[0]!).pid, 'SIGKILL')
  for (const call of calls) {
    await t.throwsAsync(async () => await call, { instanceOf: ActorDiedError, message: /was killed by SIGKILL/ })
  }
})

test.serial('threads and local actors are reached from other nodes, and reach them', async (t) => {
  await using _started = await TestCluster.start([{ labels: { zone: 'a' } }, { labels: { zone: 'b' } }])
  const options = { isolation: 'thread', labels: { zone: 'b' } } as const
  const [thread, local, probe] = await Promise.all([
    RemoteCounter.options(options).spawn(1),
    RemoteCounter.options({ isolation: 'local' }).spawn(10),
    RemoteProbe.options({ labels: { zone: 'a' } }).spawn(),
  ])
  const far = await RemoteProbe.options(options).spawn()
  for (const counter of [thread, local] as Handle<Counter>[]) {
    t.is(typeof (await counter.add(1)), 'number')
    t.is(typeof (await probe.addThrough(counter, 1)), 'number')
    t.is(typeof (await far.addThrough(counter, 1)), 'number')
  }
  t.deepEqual(await Promise.all([thread.add(0), local.add(0)]), [4, 13])
  const items: number[] = []
  for await (const item of far.produce(100)) items.push(item)
  t.is(items.length, 100)
  const bytes = new Uint8Array(100_000).fill(5)
  t.deepEqual(await far.echo(bytes), bytes)
  await killActor(far)
  await t.throwsAsync(async () => await far.echo(1), { instanceOf: ActorDiedError })
})

test.serial(
  'a driver ends although it has local actors that others can call, and its cluster ends with it',
  async (t) => {
    const alone = run(t, 'local-program.js')
    t.is(await alone.line(), 'called 3')
    t.is(await alone.ended, 0)
    const head = run(t, 'head-program.js')
    const joined = run(t, 'local-program.js', await head.line())
    t.is(await joined.line(), 'called 3')
    t.is(await joined.ended, 0)
    head.child.kill('SIGTERM')
    await head.ended
  },
)

test.serial('what a local actor cannot have of its own is refused, and so is an unknown isolation', (t) => {
  const local = RemoteCounter.options({ isolation: 'local' })
  t.throws(() => local.options({ env: {}, resources: { cpu: 1 } }), {
    instanceOf: InvalidInputError,
    message: /a local actor shares the process that spawns it: env, resources cannot be set/,
  })
  // @ts-expect-error no such isolation
  t.throws(() => RemoteCounter.options({ isolation: 'fibre' }), {
    message: /one of process, thread, local; found fibre/,
  })
})
