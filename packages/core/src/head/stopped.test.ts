import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import { describeActor, stopActor } from '../index.js'
import { RemoteCloser } from '../testing/closer.js'
import { RemoteCounter } from '../testing/counter.js'
import { processesOf, readProc } from '../testing/leftovers.js'
import { Notes } from '../testing/notes.js'
import { RemoteProbe } from '../testing/probe.js'
import { run } from '../testing/programs.js'
import { temporaryFolder } from '../testing/temporary.js'
import { until } from '../testing/until.js'
import { useCluster } from '../testing/use-cluster.js'

// A process that is stopped is as one that gets no CPU: it lives, and must not be taken for dead.

const cluster = useCluster(test)

/** Stops a process for some milliseconds. */
async function hold(pid: number, milliseconds: number): Promise<void> {
  process.kill(pid, 'SIGSTOP')
  await delay(milliseconds)
  process.kill(pid, 'SIGCONT')
}

/** The process that was started with an entry in its environment, once it is there. */
async function startedWith(entry: string): Promise<number> {
  const hasEntry = (pid: number) => readProc(pid, 'environ').includes(entry)
  const pid = await until(
    () => processesOf(cluster().id).find(hasEntry),
    (found) => found !== undefined,
  )
  return pid!
}

for (const isolation of ['process', 'thread'] as const) {
  test(`a ${isolation} that is stopped for longer than it may take to start starts when it goes on`, async (t) => {
    const remote = RemoteCounter.options({ startTimeout: 3000, isolation, env: { STOPPED: isolation } })
    const spawned = remote.spawn(1)
    await hold(await startedWith(`STOPPED=${isolation}`), 6000)
    const counter = await spawned
    t.is(await counter.add(1), 2)
    await stopActor(counter)
  })
}

test('processes that are stopped while they start keep no others from starting', async (t) => {
  const indices = Array.from({ length: Math.max(2, availableParallelism()) }, (_, index) => index)
  const stopped = indices.map((index) => RemoteCounter.options({ env: { HELD_UP: `${index}.` } }).spawn(index))
  const pids: number[] = []
  for (const index of indices) {
    const pid = await startedWith(`HELD_UP=${index}.`)
    process.kill(pid, 'SIGSTOP')
    pids.push(pid)
  }
  const other = await RemoteCounter.options({ env: { HELD_UP: 'not' } }).spawn(1)
  t.is(await other.add(1), 2)
  for (const pid of pids) process.kill(pid, 'SIGCONT')
  for (const index of indices) t.is(await (await stopped[index]!).add(1), index + 1)
})

test('an actor that is stopped in its onStop for longer than it may take ends it when it goes on', async (t) => {
  const notes = new Notes()
  const closer = await RemoteCloser.spawn(notes.path, 'closer', 'waits')
  const { pid } = describeActor(closer)
  const stopped = stopActor(closer)
  await notes.include('closer begins')
  process.kill(pid, 'SIGSTOP')
  await delay(8000)
  writeFileSync(`${notes.path}.go`, '')
  process.kill(pid, 'SIGCONT')
  await stopped
  t.deepEqual(notes.lines(), ['closer begins', 'closer ends'])
})

test('an answer reaches a caller that is stopped while the actor which gave it ends', async (t) => {
  const opening = join(temporaryFolder(t), 'opened')
  const remote = RemoteProbe.options({ maxConcurrency: 2 })
  const [caller, callee] = await Promise.all([remote.spawn(), remote.spawn()])
  const answer = caller.askLarge(callee, opening)
  await until(async () => (await callee.progress()).produced === 1)
  const { pid } = describeActor(caller)
  process.kill(pid, 'SIGSTOP')
  writeFileSync(opening, '')
  const ended = stopActor(callee)
  await delay(4000)
  process.kill(pid, 'SIGCONT')
  t.is(await answer, 4_000_000)
  await ended
})

test('a node of another host that is stopped for ten seconds, with an actor of its, goes on', async (t) => {
  const head = run(t, 'head-program.js')
  const address = await head.line()
  const node = run(t, 'node-program.js', address)
  await node.line()
  const driver = run(t, 'caller-program.js', address)
  const { pid } = JSON.parse(await driver.line())
  await Promise.all([pid, node.child.pid!].map((stopped) => hold(stopped, 10_000)))
  t.is(await driver.line(), '3')
  t.is(await driver.ended, 0)
  head.child.kill('SIGTERM')
  await head.ended
})
