import test from 'ava'
import { ActorDiedError, type ActorFailure, connect, describeActor, withOptions } from '../index.js'
import { RemoteCounter } from '../testing/counter.js'
import { RemoteSupervisor } from '../testing/supervisor.js'

test.serial('an actor decides whether one that it spawned lives again', async (t) => {
  await using _cluster = await connect()
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
  await using _cluster = await connect()
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
    for (let left = 300; left > 0 && (await again())[0] !== others; left--);
    t.deepEqual(await again(), [others, 0, others])
  }
})
