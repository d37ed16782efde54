import test from 'ava'
import {
  ActorDiedError,
  type ActorFailure,
  connect,
  describeActor,
  graph,
  killActor,
  type ObjectRef,
  stopActor,
  withOptions,
} from '../index.js'
import { RemoteCounter } from '../testing/counter.js'
import { crashActor } from '../testing/index.js'
import { processesOf, untilGone } from '../testing/leftovers.js'
import { logOf } from '../testing/log-lines.js'
import { RemoteProbe } from '../testing/probe.js'
import { run } from '../testing/programs.js'
import { RemoteSupervisor } from '../testing/supervisor.js'
import { until } from '../testing/until.js'

test.serial('an actor decides whether one that it spawned lives again', async (t) => {
  await using _cluster = await connect({ onLog: logOf(t) })
  for (const decision of ['restart', 'replace'] as const) {
    const supervisor = await RemoteSupervisor.spawn(decision)
    const counter = await supervisor.spawn()
    await counter.add(5)
    for (let restarts = 0; restarts < 2; restarts++) {
      process.kill(describeActor(counter).pid, 'SIGKILL')
      t.is(await withOptions(counter, { maxRetries: 1 }).add(1), 31, 'it is constructed anew')
    }
    const { name } = describeActor(counter)
    const seen = await supervisor.seen()
    t.deepEqual(
      seen.map(({ restarts }) => restarts),
      [0, 1],
    )
    t.like(seen[0], { name, className: 'Counter', reason: 'its process was killed by SIGKILL' })
  }
})

test.serial(
  'a failure that is escalated reaches the driver, and without a decision the actor stays dead',
  async (t) => {
    const failures: ActorFailure[] = []
    await using _cluster = await connect({
      onLog: logOf(t),
      supervise(failure) {
        failures.push(failure)
        return failures.length === 1 ? 'restart' : 'escalate'
      },
    })
    const supervisor = await RemoteSupervisor.spawn('escalate')
    const counter = await supervisor.spawn()
    process.kill(describeActor(counter).pid, 'SIGKILL')
    t.is(await withOptions(counter, { maxRetries: 1 }).add(1), 31)
    t.is((await supervisor.seen()).length, 1)
    process.kill(describeActor(counter).pid, 'SIGKILL')
    await t.throwsAsync(async () => await withOptions(counter, { maxRetries: 1 }).add(1), {
      instanceOf: ActorDiedError,
    })
    t.is(failures.length, 2)
  },
)

test.serial('in a mesh that is all-for-one the others are restarted with a member that dies', async (t) => {
  await using _cluster = await connect({ onLog: logOf(t) })
  for (const [strategy, others] of [
    ['all-for-one', 0],
    ['one-for-one', 5],
  ] as const) {
    const mesh = await RemoteCounter.options({ maxRestarts: 1, maxTaskRetries: 2, strategy }).spawnMesh({ member: 3 })
    await mesh.call('add', 5)
    const pids = mesh.members.map(({ handle }) => describeActor(handle).pid)
    process.kill(pids[1]!, 'SIGKILL')
    t.is(await mesh.at({ member: 1 }).add(0), 0)
    const again = async () => (await mesh.call('add', 0)).map(({ value }) => value)
    t.deepEqual(await until(again, ([first]) => first === others), [others, 0, others])
  }
})

test.serial('who awaits an execution of a graph learns how its actor died, and has handled that', async (t) => {
  const failures: ActorFailure[] = []
  let told = () => {}
  const toldOfOne = new Promise<void>((resolve) => {
    told = resolve
  })
  await using _cluster = await connect({
    onLog: logOf(t),
    onFailure(failure) {
      failures.push(failure)
      told()
    },
  })
  const [under, before, compiling, ignored] = await Promise.all([1, 2, 3, 4].map(() => RemoteProbe.spawn()))
  const build = (probe: typeof under) => graph((input: ObjectRef<number>) => probe!.see(input, 60_000))
  const [running, idle, unseen] = await Promise.all([build(under), build(before), build(ignored)])
  const kill = (probe: typeof under) => process.kill(describeActor(probe!).pid, 'SIGKILL')
  const howItDied = { instanceOf: ActorDiedError, message: /its process was killed by SIGKILL/ }

  const execution = running.execute(1)
  kill(under)
  await t.throwsAsync(async () => await execution, howItDied)

  kill(before)
  await t.throwsAsync(async () => await idle.execute(1), howItDied)

  kill(compiling)
  await t.throwsAsync(() => build(compiling), howItDied)

  void unseen.execute(1)
  kill(ignored)
  const staying = setInterval(() => {}, 1000)
  await toldOfOne
  clearInterval(staying)
  t.deepEqual(
    failures.map(({ id }) => id),
    [describeActor(ignored!).id],
    'only the one whose execution nobody awaits',
  )
})

test.serial('a failure that nobody handles reaches the driver, and one that was handled does not', async (t) => {
  const failures: ActorFailure[] = []
  let told = () => {}
  await using _cluster = await connect({
    onLog: logOf(t),
    onFailure(failure) {
      failures.push(failure)
      told()
    },
  })
  const [caught, indirect, killed, stopped, calling] = await Promise.all([1, 2, 3, 4, 5].map(() => RemoteProbe.spawn()))
  await t.throwsAsync(async () => await caught!.exit(1), { instanceOf: ActorDiedError })
  const counter = await RemoteCounter.spawn()
  crashActor(counter)
  await t.throwsAsync(async () => await indirect!.addThrough(counter, 1), { instanceOf: ActorDiedError })
  await killActor(killed!)
  await stopActor(stopped!)
  const [restarted, detached] = await Promise.all([
    RemoteCounter.options({ maxRestarts: 1 }).spawn(3),
    RemoteCounter.options({ detached: true, name: 'detached' }).spawn(),
  ])
  crashActor(restarted)
  crashActor(detached)
  const accepting = await RemoteSupervisor.spawn('stop')
  crashActor(await accepting.spawn())
  const escalating = await RemoteSupervisor.spawn('escalate')
  const child = await escalating.spawn()
  crashActor(child)
  await until(async () => (await escalating.seen()).length > 0)
  void calling!.exit(4)
  const staying = setInterval(() => {}, 1000)
  await new Promise<void>((resolve) => {
    told = () => failures.length === 2 && resolve()
  })
  clearInterval(staying)
  const reasons = new Map(failures.map(({ name, reason }) => [name, reason]))
  t.regex(reasons.get(describeActor(child).name)!, /SIGKILL/)
  t.regex(reasons.get(describeActor(calling!).name)!, /exited with code 4/)
  t.is(await restarted.add(0), 3)
})

/** The names of actors whose failures the driver was told of. */
class Failures {
  readonly names: string[] = []
  #told = () => {}

  readonly add = ({ name }: ActorFailure): void => {
    this.names.push(name)
    this.#told()
  }

  /** Crashes an actor that nobody has called, and waits until the driver is told: what came before it is known then. */
  async untilToldOf(name: string): Promise<void> {
    const unseen = await RemoteProbe.options({ name }).spawn()
    const told = new Promise<void>((resolve) => {
      this.#told = () => this.names.includes(name) && resolve()
    })
    crashActor(unseen)
    const staying = setInterval(() => {}, 1000)
    await told
    clearInterval(staying)
  }
}

test.serial('a caller that learns of a death late, however late, has handled it', async (t) => {
  const failures = new Failures()
  await using _cluster = await connect({ onLog: logOf(t), onFailure: failures.add })
  const [caller, counter] = await Promise.all([RemoteProbe.spawn(), RemoteCounter.spawn()])
  await caller.addThrough(counter, 1)
  const { pid } = describeActor(caller)
  process.kill(describeActor(counter).pid, 'SIGSTOP')
  const calling = caller.addThrough(counter, 1)
  process.kill(pid, 'SIGSTOP')
  try {
    crashActor(counter)
    await failures.untilToldOf('first')
  } finally {
    process.kill(pid, 'SIGCONT')
  }
  await t.throwsAsync(async () => await calling, { instanceOf: ActorDiedError })

  const [called, stepped] = await Promise.all([RemoteProbe.spawn(), RemoteProbe.spawn()])
  const built = await graph((input: ObjectRef<number>) => stepped.see(input, 60_000))
  const answers = [called.never(), built.execute(1)]
  const first = t.throwsAsync(async () => await answers[0], { instanceOf: ActorDiedError })
  crashActor(called)
  crashActor(stepped)
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3000)
  await first
  await t.throwsAsync(async () => await answers[1], { instanceOf: ActorDiedError })
  await failures.untilToldOf('last')
  t.deepEqual(failures.names, ['first', 'last'])
})

test.serial('who learns of a death before a supervisor has declined has handled it', async (t) => {
  const failures = new Failures()
  let decline = () => {}
  const declining = new Promise<void>((resolve) => {
    decline = resolve
  })
  const supervise = async () => {
    await declining
    return 'escalate' as const
  }
  await using _cluster = await connect({ onLog: logOf(t), onFailure: failures.add, supervise })
  const probe = await RemoteProbe.spawn()
  await t.throwsAsync(async () => await probe.exit(3), { instanceOf: ActorDiedError })
  decline()
  await failures.untilToldOf('unseen')
  t.deepEqual(failures.names, ['unseen'])
})

test.serial('a driver without onFailure ends with the failure that nobody handled, and what to do', async (t) => {
  const driver = run(t, 'unhandled-program.js')
  const id = await driver.line()
  t.is(await driver.ended, 1)
  const message = /UnhandledFailureError: actor careless died, and nobody handled that: .*thrown outside of a call/
  t.regex(driver.errors(), message)
  t.regex(driver.errors(), /last lines on its stderr:/)
  t.regex(driver.errors(), /To handle it, .*maxRestarts.*supervise.*onFailure/)
  await untilGone(t, () => processesOf(id))
})

test.serial('a supervisor that restarts a member of an all-for-one mesh restarts the others too', async (t) => {
  for (const [strategy, others] of [
    ['all-for-one', 0],
    ['one-for-one', 5],
  ] as const) {
    await using _cluster = await connect({ onLog: logOf(t), supervise: () => 'restart' })
    const mesh = await RemoteCounter.options({ maxTaskRetries: 2, strategy }).spawnMesh({ member: 2 })
    await mesh.call('add', 5)
    crashActor(mesh.at({ member: 1 }))
    t.is(await mesh.at({ member: 1 }).add(0), 0)
    const again = async () => (await mesh.call('add', 0)).map(({ value }) => value)
    t.deepEqual(await until(again, ([first]) => first === others), [others, 0])
  }
})
