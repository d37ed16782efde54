import { CollectiveError } from '@troupe/tensor'
import test, { type ExecutionContext } from 'ava'
import { ActorDiedError, describeActor, type Mesh, withOptions } from '../index.js'
import { crashActor } from '../testing/index.js'
import { type Member, RemoteMember } from '../testing/member.js'
import { useCluster } from '../testing/use-cluster.js'

useCluster(test)

test('a rank does not wait longer than its timeout for others that never join, and may join again with them', async (t) => {
  const mesh = await RemoteMember.spawnMesh({ rank: 3 })
  const group = mesh.communicator()
  const early = mesh.members.slice(0, 2).map(({ handle }) => handle.join(group, 500))
  for (const joining of early)
    await t.throwsAsync(async () => await joining, { message: /not all of its 3 ranks have joined/ })
  await t.notThrowsAsync(mesh.call('join', group, 30_000))
})

/** Has the first two members of three join without a timeout; resolves with why they cannot. */
function waitingFor(t: ExecutionContext, mesh: Mesh<Member>): Promise<Error[]> {
  const group = mesh.communicator()
  const early = mesh.members.slice(0, 2)
  return Promise.all(
    early.map(({ handle }) => t.throwsAsync(async () => await handle.join(group), { instanceOf: CollectiveError })),
  )
}

test('ranks that wait for one that has died, or dies, learn its name, whether it comes back or not', async (t) => {
  for (const maxRestarts of [0, 1]) {
    const mesh = await RemoteMember.options({ maxRestarts }).spawnMesh({ rank: 3 })
    const last = mesh.at({ rank: 2 })
    const { name } = describeActor(last)
    const waiting = waitingFor(t, mesh)
    crashActor(last)
    for (const { message } of await waiting) t.true(message.includes(`rank ${name} has died: its process`), message)
    if (maxRestarts > 0) {
      await withOptions(last, { maxRetries: 1 }).ready()
      await mesh.call('join', mesh.communicator())
      continue
    }
    await t.throwsAsync(async () => await last.join(mesh.communicator()), { instanceOf: ActorDiedError })
    for (const { message } of await waitingFor(t, mesh))
      t.true(message.includes(`rank ${name} has died: its process`), message)
  }
})
