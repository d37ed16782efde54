import { type Cluster, communicator, connect, InvalidInputError, killActor } from '@troupe/core'
import test, { type ExecutionContext } from 'ava'
import { RemoteMember } from './support/member.js'
import { ProcessGuard } from './support/processes.js'

/** A cluster of a head and one more node. */
async function twoNodes(t: ExecutionContext): Promise<{ cluster: Cluster; stop: () => Promise<void> }> {
  const guard = new ProcessGuard(t)
  const head = guard.troupe('start', '--head', '--port', '0')
  const [, address] = await head.printed(/listening on (\S+:\d+)/)
  const node = guard.troupe('start', '--join', address!)
  await node.printed(/joined/)
  const cluster = await connect({ address: address! })
  const stop = async () => {
    await cluster.shutdown()
    head.child.kill('SIGTERM')
    await Promise.all([head.finished, node.finished])
  }
  return { cluster, stop }
}

test.serial('a mesh makes communicators along its dimensions, and any list of handles makes one', async (t) => {
  new ProcessGuard(t)
  const cluster = await connect()
  const mesh = await RemoteMember.spawnMesh({ pipeline: 2, tensor: 2 })
  const values = (answers: { value: unknown }[]) => answers.map(({ value }) => value)
  const reduce = async () =>
    (await Promise.all(mesh.members.map(({ handle, rank }) => handle.reduce(10 ** rank)))).map(([sum]) => sum)

  t.deepEqual(values(await mesh.call('join', mesh.communicator('tensor'))), [0, 1, 0, 1])
  t.deepEqual(await reduce(), [11, 11, 1100, 1100])
  t.deepEqual(values(await mesh.call('join', mesh.communicator('pipeline'))), [0, 0, 1, 1])
  t.deepEqual(await reduce(), [101, 1010, 101, 1010])
  t.deepEqual(values(await mesh.call('join', mesh.communicator())), [0, 1, 2, 3])
  t.deepEqual(await reduce(), [1111, 1111, 1111, 1111])

  const pair = [mesh.at({ pipeline: 1, tensor: 1 }), mesh.at({ pipeline: 0, tensor: 0 })] as const
  const group = communicator(pair)
  t.deepEqual(await Promise.all(pair.map((handle) => handle.join(group))), [0, 1])
  t.deepEqual(await Promise.all(pair.map((handle) => handle.reduce(4))), [
    [8, 16],
    [8, 16],
  ])
  await t.throwsAsync(async () => mesh.at({ pipeline: 0, tensor: 1 }).join(group), {
    message: /cannot join group 'group' of Member.*, Member/,
  })
  t.throws(() => mesh.communicator('data'), { instanceOf: InvalidInputError, message: /no dimension data/ })
  t.throws(() => communicator([pair[0], pair[0]]), { message: /two ranks of one communicator/ })
  t.throws(() => communicator([]), { message: /at least one/ })
  await cluster.shutdown()
})

test.serial('ranks on two nodes meet through the head, and give the same bits on both, encrypted or not', async (t) => {
  const { stop } = await twoNodes(t)
  const mesh = await RemoteMember.spawnMesh({ rank: 4 })
  await mesh.call('join', mesh.communicator('rank'))
  const sums = await Promise.all(mesh.members.map(({ handle, rank }) => handle.reduce(rank + 0.1)))
  for (const sum of sums) t.deepEqual(sum, sums[0]!)
  t.true(Math.abs(sums[0]![0]! - 6.4) < 1e-5)
  await mesh.call('join', mesh.communicator('rank', { encrypt: true }))
  const again = await Promise.all(mesh.members.map(({ handle, rank }) => handle.reduce(rank + 0.1)))
  t.deepEqual(again, sums)
  await stop()
})

test.serial('the death of a member ends an operation of the others, who can make a new group', async (t) => {
  const { stop } = await twoNodes(t)
  const members = (await RemoteMember.spawnMesh({ rank: 3 })).members.map(({ handle }) => handle)
  const group = communicator(members, { name: 'trio' })
  await Promise.all(members.map((member) => member.join(group)))
  const failures = members.slice(0, 2).map((member) => t.throwsAsync(async () => member.reduceForEver()))
  const own = t.throwsAsync(async () => members[2]!.reduceForEver())
  await killActor(members[2]!)
  const killed = performance.now()
  for (const failure of await Promise.all(failures)) t.regex(failure!.message, /rank Member.*rank=2.*(died|left)/)
  t.true(performance.now() - killed < 20_000)
  await own
  const rest = communicator(members.slice(0, 2))
  await Promise.all(members.slice(0, 2).map((member) => member.join(rest)))
  t.deepEqual(await Promise.all(members.slice(0, 2).map((member) => member.reduce(1))), [
    [2, 4],
    [2, 4],
  ])
  await stop()
})

test.serial('a member that dies before it joins ends the wait of those who have', async (t) => {
  new ProcessGuard(t)
  const cluster = await connect()
  const members = await Promise.all([RemoteMember.spawn(), RemoteMember.spawn(), RemoteMember.spawn()])
  const group = communicator(members, { name: 'never' })
  const waiting = members.slice(0, 2).map((member) => t.throwsAsync(async () => member.join(group)))
  await killActor(members[2]!)
  for (const failure of await Promise.all(waiting)) t.regex(failure!.message, /group 'never': rank Member#3 has died/)
  await cluster.shutdown()
})
