// The same program on one node or on several: start a head and let another node join it (`troupe start --head`, `troupe start
// --join ADDRESS`), then run this with the head's address. Ranks of one node meet in shared memory, the nodes over TCP.
import { actor, connect, type Invitation, isMain } from '@troupe/core'
import { Tensor } from '@troupe/tensor'

export class Adder {
  /** What all ranks gave, added up. */
  async add(invitation: Invitation, own: number): Promise<number> {
    const group = await invitation.join()
    const tensor = Tensor.zeros('float32', [1_000_000])
    tensor.data.fill(own)
    await group.allReduce(tensor)
    return tensor.data.at(-1)!
  }
}

const RemoteAdder = actor(import.meta.url, Adder)

if (isMain(import.meta)) {
  const address = process.argv[2]
  await using cluster = await connect(address ? { address } : {})
  const mesh = await RemoteAdder.spawnMesh({ rank: 4 })
  const group = mesh.communicator('rank')
  const sums = await Promise.all(mesh.members.map(({ handle, rank }) => handle.add(group, rank + 1)))
  const nodes = (await cluster.nodes()).filter(({ actors }) => actors > 0)
  console.log(`${sums.join(' ')} on ${nodes.length} node${nodes.length > 1 ? 's' : ''}`)
}
