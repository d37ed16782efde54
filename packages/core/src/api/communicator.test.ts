import test from 'ava'
import { RemoteMember } from '../testing/member.js'
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
