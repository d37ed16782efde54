import { readFileSync } from 'node:fs'
import test, { type ExecutionContext } from 'ava'
import type { Handle } from '../index.js'
import { ActorDiedError, connect, describeActor, killActor, stopActor } from '../index.js'
import { logOf } from '../testing/log-lines.js'
import { type Parent, RemoteParent } from '../testing/parent.js'
import { run } from '../testing/programs.js'
import { until } from '../testing/until.js'

/** Whether a process runs; one that has ended may still be listed until its parent has taken notice. */
function runs(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}

async function allEnd(t: ExecutionContext, started: Record<string, number>, how: string): Promise<void> {
  const left = () => Object.entries(started).flatMap(([kind, pid]) => (runs(pid) ? [kind] : []))
  const found = await until(left, ({ length }) => length === 0)
  for (const pid of Object.values(started)) if (runs(pid)) process.kill(pid, 'SIGKILL')
  t.deepEqual(found, [], how)
}

const ends: Readonly<Record<string, (parent: Handle<Parent>) => Promise<unknown>>> = {
  killActor,
  stopActor,
  'kill -9 of its process': async (parent) => process.kill(describeActor(parent).pid, 'SIGKILL'),
  'process.exit': async (parent) => parent.exit().catch(() => {}),
  'an error outside of a call': async (parent) => parent.fail().catch(() => {}),
}

test.serial(
  'what an actor has started ends with it, in whatever way it ends, and what others started does not',
  async (t) => {
    const cluster = await connect({ onFailure: () => {}, onLog: logOf(t) })
    const other = await RemoteParent.spawn()
    const others = await other.start()
    const daemon = await other.daemon()
    for (const [how, end] of Object.entries(ends)) {
      const parent = await RemoteParent.spawn()
      const started = await parent.start()
      t.true(Object.values(started).every(runs), how)
      await end(parent)
      await allEnd(t, started, how)
      await t.throwsAsync(async () => await parent.node(), { instanceOf: ActorDiedError })
    }
    t.true(Object.values(others).every(runs))
    await cluster.shutdown()
    await allEnd(t, others, 'shutdown')
    t.true(runs(daemon), 'what has shed the marks is on its own')
    process.kill(daemon, 'SIGKILL')
  },
)

test.serial(
  'what an actor in a thread has started ends with the actor, and not with another of the process',
  async (t) => {
    await using _cluster = await connect({ onLog: logOf(t) })
    const [first, second] = await Promise.all([1, 2].map(() => RemoteParent.options({ isolation: 'thread' }).spawn()))
    const { 'with another environment': _, ...ofFirst } = await first!.start()
    const { 'with another environment': __, ...ofSecond } = await second!.start()
    await killActor(first!)
    await allEnd(t, ofFirst, 'thread')
    t.true(Object.values(ofSecond).every(runs))
    await stopActor(second!)
    await allEnd(t, ofSecond, 'the last thread')
  },
)

for (const [how, signal, whom] of [
  ['SIGTERM of the driver', 'SIGTERM', 'driver'],
  ['kill -9 of the driver', 'SIGKILL', 'driver'],
  ['kill -9 of the node', 'SIGKILL', 'node'],
] as const) {
  test.serial(`what an actor has started ends at ${how}`, async (t) => {
    const driver = run(t, 'parent-program.js')
    const { started, head } = JSON.parse(await driver.line())
    process.kill(whom === 'driver' ? driver.child.pid! : head, signal)
    const { 'with another environment': odd, ...tagged } = started
    await allEnd(t, tagged, how)
    if (runs(odd)) process.kill(odd, 'SIGKILL')
  })
}
