// Opens the NCCL that TROUPE_NCCL names and prints, as JSON, its version, the size of a unique id, whether two ids differ, and
// what a rank is told that connects with a GPU.
import { ncclUniqueId, ncclVersion } from '@troupe/native'
import { Communicator } from '@troupe/tensor'

const ids = [ncclUniqueId(), ncclUniqueId()] as const
const group = new Communicator({ rank: 0, size: 1, name: 'probe', node: 'a', token: 'secret', device: 'cuda' })
const failure = await group.connect([group.address]).catch((error: Error) => error.message)
const differ = Buffer.compare(...ids) !== 0
console.log(JSON.stringify({ version: ncclVersion(), idBytes: ids[0].length, differ, failure }))
