import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { type ActorStack, connect, describeActor, InvalidInputError, put } from '../index.js'
import { RemoteHolder } from '../testing/holder.js'
import { TestCluster } from '../testing/index.js'
import { RemoteProbe } from '../testing/probe.js'
import { remoteSquare, remoteUntilCancelled } from '../testing/tasks.js'
import { until } from '../testing/until.js'

/** The path of a file that is not there yet. */
function absentFile(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  return join(folder, 'file')
}

/** Whether a stack is that of a probe which spins, and not of the process that just receives the call. */
function isSpinning({ state, frames }: ActorStack): boolean {
  return state === 'running' && frames.some((frame) => frame.startsWith('Probe.spinUntil'))
}

/** Whether it is that of a process which does nothing, not even the rest of what it has just done. */
function isIdle({ state }: ActorStack): boolean {
  return state === 'idle'
}

/** How many TCP ports a process listens on. */
function portsOf(pid: number): number {
  const sockets = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`)
    } catch {
      return ''
    }
  })
  const LISTEN = '0A'
  const rows = ['tcp', 'tcp6'].flatMap((table) =>
    readFileSync(`/proc/${pid}/net/${table}`, 'utf8').trim().split('\n').slice(1),
  )
  const listening = rows.map((row) => row.trim().split(/\s+/)).filter((cells) => cells[3] === LISTEN)
  return listening.filter((cells) => sockets.includes(`socket:[${cells[9]}]`)).length
}

test.serial('the stack of an actor that is stuck in a loop is read, and leaves no trace in its process', async (t) => {
  await using cluster = await connect()
  const probe = await RemoteProbe.options({ name: 'stuck' }).spawn()
  const { pid, id } = describeActor(probe)
  const file = absentFile(t)
  const untilIdle = () => until(() => cluster.stack('stuck'), isIdle)
  t.like(await untilIdle(), { name: 'stuck', pid, state: 'idle', frames: [] })
  const spinning = probe.spinUntil(file)
  const stack = await until(() => cluster.stack(id), isSpinning)
  t.like(stack, { name: 'stuck', pid, state: 'running' })
  t.true(
    stack.frames.some((frame) => /^Probe\.spinUntil .*probe\.[jt]s:\d+:\d+/.test(frame)),
    stack.frames.join('\n'),
  )
  t.false(existsSync(file))
  t.is(portsOf(pid), 0, 'the inspector is closed while the loop goes on')
  const [again, further] = await Promise.all([cluster.stack('stuck'), cluster.stack('stuck')])
  t.deepEqual([again.state, further.state], ['running', 'running'])
  t.is(portsOf(pid), 0)
  writeFileSync(file, '')
  await spinning
  // A reading while the loop comes to its end is one too.
  t.is((await untilIdle()).state, 'idle')
  for (let turns = 0; turns < 5; turns++) await probe.echo(turns)
  t.is(portsOf(pid), 0, 'and stays closed when the loop has ended')
  t.deepEqual(await cluster.logs('stuck'), [], "what it says on stderr is nobody else's")
  await t.throwsAsync(() => cluster.stack('nobody'), {
    instanceOf: InvalidInputError,
    message: /no actor named nobody lives/,
  })
})

test.serial('stacks are read on other nodes too, and of two actors of a name one must say which', async (t) => {
  await using started = await TestCluster.start([{}, { labels: { zone: 'far' } }])
  const { cluster } = started
  const far = RemoteProbe.options({ name: 'double', namespace: 'a', labels: { zone: 'far' } })
  const [first, second] = await Promise.all([far.spawn(), far.options({ namespace: 'b' }).spawn()])
  const file = absentFile(t)
  const spinning = first.spinUntil(file)
  const { id, nodeId } = describeActor(first)
  const stack = await until(() => cluster.stack(id), isSpinning)
  t.is(stack.nodeId, nodeId)
  t.regex(stack.frames.join('\n'), /Probe\.spinUntil/)
  await t.throwsAsync(() => cluster.stack('double'), {
    instanceOf: InvalidInputError,
    message: new RegExp(`several actors are named double; give the id of one: .*${describeActor(second).id}`),
  })
  writeFileSync(file, '')
  await spinning
})

test.serial('the tasks of a cluster are listed with where they run, how long, and who called them', async (t) => {
  await using cluster = await connect({ resources: { cpu: 1 } })
  const notes = absentFile(t)
  t.deepEqual(await cluster.tasks(), [])
  const running = remoteUntilCancelled(notes, 'first')
  const queued = remoteUntilCancelled(notes, 'second')
  const waiting = remoteSquare(running as never)
  const tasks = await until(
    () => cluster.tasks(),
    (found) => found.some(({ state }) => state === 'running'),
  )
  const [node] = await cluster.nodes()
  const owner = { name: 'driver', pid: process.pid }
  const byState = new Map(tasks.map((task) => [task.state, task]))
  t.is(tasks.length, 3)
  t.like(byState.get('running'), { name: 'untilCancelled', nodeId: node!.id, owner })
  t.true(byState.get('running')!.pid > 0)
  t.true(byState.get('running')!.age > 0)
  t.like(byState.get('queued'), { name: 'untilCancelled', pid: 0, nodeId: '', owner })
  t.like(byState.get('waiting'), { name: 'square', owner })
  running.cancel()
  queued.cancel()
  await t.throwsAsync(() => waiting)
  t.deepEqual(
    await until(
      () => cluster.tasks(),
      ({ length }) => length === 0,
    ),
    [],
  )
})

test.serial('the objects of a cluster are listed with their owners, their sizes and who holds them', async (t) => {
  await using cluster = await connect()
  const [holder, probe] = await Promise.all([RemoteHolder.options({ name: 'keeper' }).spawn(), RemoteProbe.spawn()])
  const bytes = put(new Uint8Array(50_000))
  const [own] = await cluster.objects()
  t.like(own, { id: bytes.id, state: 'ready', owner: { name: 'driver', pid: process.pid }, holders: [] })
  t.true(own!.size! >= 50_000 && own!.size! < 51_000)

  const never = probe.never()
  const { ref } = await holder.make(7)
  await holder.keep({ refs: [bytes as never, never as never] })
  const objects = await until(
    () => cluster.objects(),
    (found) => found.every(({ holders }) => holders.length === 1),
  )
  const keeper = { name: 'keeper', pid: describeActor(holder).pid, refs: 1 }
  const of = (id: string) => objects.find((object) => object.id === id)
  t.is(objects.length, 3)
  t.like(of(bytes.id)!.holders[0], keeper)
  t.like(of(never.id), { state: 'pending', size: undefined })
  t.like(of(ref.id), { state: 'ready', owner: { name: 'keeper' } })
  t.like(of(ref.id)!.holders[0], { name: 'driver', pid: process.pid, refs: 1 })
  bytes.release()
  ref.release()
  await holder.drop()
  // What the keeper had put is its own until its garbage collector has run.
  const others = async () => (await cluster.objects()).filter(({ owner }) => owner.name !== 'keeper')
  t.deepEqual(await until(others, ({ length }) => length === 0), [])
})
