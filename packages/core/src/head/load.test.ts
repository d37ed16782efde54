import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { ActorDiedError, actor, connect, describeActor, InvalidInputError, killActor, remote } from '../index.js'
import { RemoteBusy, remoteBusyFor } from '../testing/busy.js'
import { container } from '../testing/container.js'
import { RemoteCounter } from '../testing/counter.js'
import { processesOf, untilGone } from '../testing/leftovers.js'
import { logOf } from '../testing/log-lines.js'
import { RemoteProbe } from '../testing/probe.js'
import { run, runLimited, runUnder } from '../testing/programs.js'
import { remoteSquare } from '../testing/tasks.js'
import { temporaryFolder } from '../testing/temporary.js'

test.serial('spawns that wait for resources by the thousand hold up neither the head nor other spawns', async (t) => {
  await using cluster = await connect({ onLog: logOf(t), resources: { slot: 1, never: 1 } })
  const holder = await RemoteCounter.options({ resources: { never: 1 } }).spawn(0)
  const waiting = Array.from({ length: 1100 }, () => RemoteCounter.options({ resources: { never: 1 } }).spawn(0))
  const outcomes = Promise.allSettled(waiting)
  const others = Promise.all(Array.from({ length: 12 }, () => RemoteCounter.spawn(1)))
  const [node] = await cluster.nodes()
  t.is(node!.free.never, 0)
  const counters = await others
  t.deepEqual(
    await Promise.all(counters.map((counter) => counter.add(1))),
    counters.map(() => 2),
  )
  await Promise.all(counters.map((counter) => killActor(counter)))
  await killActor(holder)
  const first = await Promise.any(waiting)
  t.is(await first.add(1), 1)
  await cluster.shutdown()
  const ended = await outcomes
  t.is(ended.filter(({ status }) => status === 'rejected').length, 1099)
  await untilGone(t, () => processesOf(cluster.id))
})

test.serial('more calls than may be in flight at an actor do not hold up its end', async (t) => {
  await using _cluster = await connect({ onLog: logOf(t) })
  const probe = await RemoteProbe.options({ maxConcurrency: 10_000 }).spawn()
  const calls = Promise.allSettled(Array.from({ length: 1100 }, () => probe.never()))
  await killActor(probe)
  t.true((await calls).every(({ status }) => status === 'rejected'))
})

test.serial('of sixty actors that are spawned at once, all start', async (t) => {
  await using cluster = await connect({ onLog: logOf(t) })
  const probes = await Promise.all(Array.from({ length: 60 }, () => RemoteProbe.spawn()))
  t.is(new Set(probes.map((probe) => describeActor(probe).pid)).size, 60)
  t.deepEqual(
    await Promise.all(probes.map((probe, index) => probe.echo(index))),
    probes.map((_, index) => index),
  )
  await cluster.shutdown()
  await untilGone(t, () => processesOf(cluster.id))
})

for (const isolation of ['process', 'thread'] as const) {
  test.serial(`a ${isolation} that is killed while it starts fails the spawn, or is started anew`, async (t) => {
    await using cluster = await connect({ onLog: logOf(t) })
    const before = new Set(processesOf(cluster.id))
    const kill = () => {
      const [started] = processesOf(cluster.id).filter((pid) => !before.has(pid))
      if (started === undefined) return undefined
      before.add(started)
      process.kill(started, 'SIGKILL')
      return started
    }
    // Each spawn is killed a little later than the one before, so that all stages of a start are met.
    for (let delay = 0; delay < 400; delay += 40) {
      const restartable = delay % 80 === 40
      const remote = RemoteCounter.options({
        isolation,
        maxRestarts: restartable ? 3 : 0,
        env: { DELAY: String(delay) },
      })
      let isSettled = false
      const spawned = remote.spawn(5).finally(() => {
        isSettled = true
      })
      const outcome = spawned.catch((error) => error)
      while (!isSettled && processesOf(cluster.id).every((pid) => before.has(pid))) await soon(5)
      await soon(delay)
      const killed = kill()
      const counter = await outcome
      for (const pid of processesOf(cluster.id)) before.add(pid)
      if (counter instanceof Error) {
        t.false(restartable, String(counter))
        t.true(counter instanceof ActorDiedError, String(counter))
        t.regex(counter.message, /^actor Counter#\d+ died: its (process|thread)/)
      } else if (restartable) {
        // Where it was killed just after its start, the first call is lost with it.
        const first = await counter.add(1).catch((error: unknown) => error)
        t.true(first === 6 || first instanceof ActorDiedError, String(first))
        t.true((await counter.add(1)) >= 6)
      } else if (describeActor(counter).pid === killed) {
        const calls = async () => {
          for (let call = 0; call < 100_000; call++) await counter.add(1)
        }
        await t.throwsAsync(calls, { instanceOf: ActorDiedError })
      } else t.is(await counter.add(1), 6, 'what was killed is a process that the node keeps for later')
    }
    t.is(await (await RemoteCounter.spawn(1)).add(1), 2)
  })
}

test.serial(
  'without file descriptors a spawn fails and says which limit to raise, and the cluster lives on',
  async (t) => {
    const program = runLimited(t, 'ulimit -n 100', 'crowd-program.js', '30')
    const { spawned, message, sum } = JSON.parse(await program.line())
    t.true(spawned > 0 && spawned < 30, `${spawned} were spawned`)
    t.regex(message, /^actor Counter#\d+ died: its process could not be started: .* files open .*ulimit -n/)
    t.is(sum, spawned)
    t.is(await program.ended, 0)
  },
)

// The kernel holds root to no limit, and root alone can become a user that has no other processes.
const asAnother = process.getuid?.() === 0 ? test.serial : test.serial.skip

asAnother('without threads a spawn fails and says which limit to raise, and the cluster lives on', async (t) => {
  const user = ['setpriv', `--reuid=${64_000 + (process.pid % 1000)}`, '--regid=65534', '--clear-groups']
  const program = runUnder(t, [...user, 'prlimit', '--nproc=64:64'], 'crowd-program.js', '30')
  const { spawned, message, sum } = JSON.parse(await program.line())
  t.true(spawned > 0 && spawned < 30, `${spawned} were spawned`)
  t.regex(message, /^actor Counter#\d+ died: its process could not be started.*ulimit -u/)
  t.is(sum, spawned)
  t.is(await program.ended, 0)
})

test.serial(
  'in a container with no room for more processes a spawn fails and says so, and the cluster lives on',
  async (t) => {
    const small = container(t, 'processes', 64)
    if (!small) return t.pass()
    const program = runUnder(t, small, 'crowd-program.js', '30')
    const { spawned, message, sum } = JSON.parse(await program.line())
    t.true(spawned > 0 && spawned < 30, `${spawned} were spawned`)
    t.regex(message, /^actor Counter#\d+ died: its process could not be started.*container/)
    t.is(sum, spawned)
    t.is(await program.ended, 0)
  },
)

test.serial('a module whose import never ends fails its spawn, and its tasks, naming the module', async (t) => {
  // What loops has only the time that it gets: the busier the machine, the longer this takes.
  t.timeout(600_000)
  await using _cluster = await connect({ onLog: logOf(t), resources: { cpu: 1 } })
  const modules = {
    'awaits.mjs': 'await new Promise(() => {})',
    'loops.mjs': 'for (;;);',
  }
  const never = () => {}
  for (const [name, text] of Object.entries(modules)) {
    const url = pathToFileURL(join(temporaryFolder(t, { [name]: text }), name)).href
    const endless = actor(url, class Never {})
    for (const isolation of ['process', 'thread'] as const) {
      const limits = { startTimeout: 2000, maxRestarts: 2, isolation, name: `endless-${isolation}` }
      await t.throwsAsync(() => endless.options(limits).spawn(), {
        instanceOf: ActorDiedError,
        message: new RegExp(
          `^actor endless-${isolation} died: its module file://.*/${name} was not imported within 2 s; .*startTimeout`,
        ),
      })
    }
    const task = remote(url, never, { startTimeout: 2000 })
    // On one CPU they would take their turns, and all fail in the same way.
    for (const call of [task(), task(), task()]) {
      await t.throwsAsync(async () => await call, {
        instanceOf: InvalidInputError,
        message: new RegExp(`^task never: the module file://.*/${name} was not imported within 2 s; .*startTimeout`),
      })
    }
  }
  t.is(await remoteSquare(3), 9)
})

test.serial('code that keeps its thread busy just after its import is not taken for an import', async (t) => {
  await using _cluster = await connect({ onLog: logOf(t) })
  const limit = { startTimeout: 2000 }
  const [busy, task] = [RemoteBusy.options(limit), remoteBusyFor.options({ ...limit, maxRetries: 0 })]
  const actors = await Promise.all([busy.spawn(5000), busy.options({ isolation: 'thread' }).spawn(5000)])
  t.deepEqual(await Promise.all(actors.map((each) => each.passed())), [5000, 5000])
  t.is(await task(5000), 5000)
  t.is(await task(5000), 5000, 'also where the module has been imported already')
})

test.serial(
  'what lets processes into the cluster is in the environment of no actor, nor of what it starts',
  async (t) => {
    const { TROUPE_TOKEN } = process.env
    const token = 'a token that nobody may see'
    process.env.TROUPE_TOKEN = token
    t.teardown(() => Object.assign(process.env, { TROUPE_TOKEN }))
    const head = run(t, 'head-program.js')
    const address = await head.line()
    await using local = await connect({ onLog: logOf(t) })
    const own = await RemoteProbe.spawn()
    t.is(await own.environment('TROUPE_TOKEN'), undefined)
    await readEnvironments(t, processesOf(local.id))
    await local.shutdown()
    await using cluster = await connect({ onLog: logOf(t), address })
    for (const isolation of ['process', 'thread'] as const) {
      const probe = await RemoteProbe.options({ isolation }).spawn()
      t.is(await probe.environment('TROUPE_TOKEN'), undefined)
    }
    await readEnvironments(t, processesOf(cluster.id))

    async function readEnvironments(t: ExecutionContext, pids: readonly number[]): Promise<void> {
      t.true(pids.length >= 2)
      for (const pid of pids) {
        const variables = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
        const secret = variables.filter((line) => line.includes(token) || /"secret"|TROUPE_(TOKEN|HEAD)=/.test(line))
        t.deepEqual(secret, [])
      }
    }
  },
)

test.serial('a folder to work in that does not exist is named, and the cluster lives on', async (t) => {
  await using _cluster = await connect({ onLog: logOf(t) })
  for (const isolation of ['process', 'thread'] as const) {
    await t.throwsAsync(() => RemoteCounter.options({ cwd: '/no/such/folder', isolation }).spawn(), {
      instanceOf: ActorDiedError,
      message: /could not be started: the folder \/no\/such\/folder .* does not exist/,
    })
  }
  t.is(await (await RemoteCounter.spawn(1)).add(1), 2)
})

test('a timeout for starts that no timer can wait for is refused', (t) => {
  for (const startTimeout of [0, 1.5, 2 ** 31]) {
    t.throws(() => RemoteCounter.options({ startTimeout }), { instanceOf: InvalidInputError, message: /startTimeout/ })
  }
})

function soon(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}
