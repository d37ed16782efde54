import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { connect, InvalidInputError, NodeUnreachableError } from '../index.js'
import { RemoteCounter } from '../testing/counter.js'
import { isAlive, processesOf, untilGone } from '../testing/leftovers.js'
import { run } from '../testing/programs.js'
import { temporaryFolder } from '../testing/temporary.js'
import { clustersFolder, runningClusters } from './running-clusters.js'

/** An empty home folder, until the test ends. */
function emptyHome(t: ExecutionContext): string {
  const { HOME } = process.env
  process.env.HOME = temporaryFolder(t)
  t.teardown(() => {
    process.env.HOME = HOME
  })
  return process.env.HOME
}

test.serial('a cluster is listed while it runs, and what a killed one leaves is swept', async (t) => {
  emptyHome(t)
  t.deepEqual(runningClusters(), [])
  const program = run(t, 'listed-program.js')
  const clusterId = await program.line()
  const [cluster, ...others] = runningClusters()
  t.like(cluster, { id: clusterId, pid: program.child.pid })
  t.true(cluster!.program.endsWith('listed-program.js'))
  t.deepEqual(others, [])
  t.is(cluster!.secret.text.length, 43)
  t.false(JSON.stringify(cluster).includes(cluster!.secret.text), 'what is printed has no secret')

  const pids = processesOf(clusterId)
  for (const pid of pids) process.kill(pid, 'SIGKILL')
  program.child.kill('SIGKILL')
  await program.ended
  await untilGone(t, () => pids.filter(isAlive))
  t.is(readdirSync(clustersFolder()).length, 1, 'the file of a head that was killed')
  t.deepEqual(runningClusters(), [])
  t.deepEqual(readdirSync(clustersFolder()), [])
})

test.serial(
  'a program that was killed takes its cluster from the list, as its head lives on for a moment',
  async (t) => {
    emptyHome(t)
    const program = run(t, 'listed-program.js')
    const clusterId = await program.line()
    program.child.kill('SIGKILL')
    await untilGone(t, () => processesOf(clusterId))
    t.deepEqual(readdirSync(clustersFolder()), [])
  },
)

test.serial('a process id that another process has now is no cluster, and a new cluster sweeps its file', async (t) => {
  emptyHome(t)
  const first = await connect()
  const [file] = readdirSync(clustersFolder())
  const text = readFileSync(join(clustersFolder(), file!), 'utf8')
  const [host, boot, processes, pid, start, id] = file!.replace('.json', '').split('-')
  const write = (...parts: (string | undefined)[]) => {
    const name = `${parts.join('-')}.json`
    writeFileSync(join(clustersFolder(), name), text, { mode: 0o600 })
    return name
  }
  write(host, boot, processes, pid, `${start}1`, id)
  write(host, '00000000', processes, pid, start, id)
  const elsewhere = [
    write('00000000', boot, processes, pid, start, id),
    write(host, boot, `${processes}1`, pid, start, id),
  ]
  t.is(runningClusters().length, 1)
  t.deepEqual(readdirSync(clustersFolder()).sort(), [file!, ...elsewhere].sort(), "other machines' are left alone")
  const draft = file!.replace('.json', '.draft').replace(`-${start}-`, `-${start}1-`)
  writeFileSync(join(clustersFolder(), draft), '')
  await first.shutdown()
  const second = await connect()
  t.false(readdirSync(clustersFolder()).includes(draft))
  t.is(runningClusters().length, 1)
  await second.shutdown()
  t.deepEqual(readdirSync(clustersFolder()).sort(), elsewhere.sort())
})

test.serial("a folder that is not the user's is left alone, and one that others may enter is closed", async (t) => {
  const home = emptyHome(t)
  const target = temporaryFolder(t)
  mkdirSync(join(home, '.troupe'))
  symlinkSync(target, clustersFolder())
  let cluster = await connect()
  t.deepEqual(readdirSync(target), [])
  t.throws(runningClusters, {
    instanceOf: InvalidInputError,
    message: /clusters to be a folder of yours .*no folder; remove/,
  })
  await cluster.shutdown()

  rmSync(clustersFolder())
  mkdirSync(clustersFolder())
  chmodSync(clustersFolder(), 0o777)
  cluster = await connect()
  t.is(statSync(clustersFolder()).mode & 0o777, 0o700)
  const [file] = readdirSync(clustersFolder())
  chmodSync(join(clustersFolder(), file!), 0o644)
  t.deepEqual(runningClusters(), [], 'a file that others could read is not trusted')
  await cluster.shutdown()

  if (process.getuid!() === 0) {
    chownSync(clustersFolder(), 65534, 65534)
    cluster = await connect()
    t.throws(runningClusters, { instanceOf: InvalidInputError, message: /is that of user 65534/ })
    t.deepEqual(readdirSync(clustersFolder()), [])
    await cluster.shutdown()
  }
})

test.serial('a cluster whose head is stopped is told apart from one that has gone', async (t) => {
  emptyHome(t)
  const program = run(t, 'listed-program.js')
  const clusterId = await program.line()
  const [cluster] = runningClusters()
  const head = processesOf(clusterId)[0]!
  process.kill(head, 'SIGSTOP')
  const { address } = cluster!
  const refusal = { instanceOf: NodeUnreachableError, message: /listed-program.* does not answer at ipc:.*stopped/ }
  await t.throwsAsync(() => connect({ address }), refusal)
  process.kill(head, 'SIGCONT')
  const joined = await connect({ address })
  t.is(joined.id, clusterId)
  t.is((await joined.nodes()).length, 1)
  const counter = await RemoteCounter.spawn(1)
  t.is(await counter.add(1), 2, 'who has joined has actors there, too')
  await joined.shutdown()
  program.child.kill('SIGTERM')
  await untilGone(t, () => processesOf(clusterId))
  await t.throwsAsync(() => connect({ address }), {
    instanceOf: InvalidInputError,
    message: /no cluster of yours runs at/,
  })
})
