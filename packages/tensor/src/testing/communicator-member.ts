// One rank of communicator.test.ts: is sent its options, answers with its address, is sent all addresses, then runs what
// it is asked to and answers with the result.
import { Communicator, type CommunicatorOptions, type RankAddress } from '../communicator.js'
import { Tensor } from '../tensor.js'

interface Request {
  operation: 'allReduce' | 'allGather' | 'ring'
  values?: number[]
}

let group: Communicator | undefined

const operations = {
  async allReduce(group: Communicator, values: number[]) {
    const tensor = Tensor.from(
      'float32',
      [values.length],
      values.map((value) => value * (group.rank + 1)),
    )
    await group.allReduce(tensor)
    return [...tensor.data]
  },
  async allGather(group: Communicator) {
    const { rank, size } = group
    const rows = Array.from({ length: size }, (_, r) => r + 1)
    const own = Tensor.from('int32', [rank + 1, 1], Array(rank + 1).fill(rank))
    const all = Tensor.zeros('int32', [rows.reduce((a, b) => a + b), 1])
    await group.allGather(own, rows, all)
    return [...all.data]
  },
  async ring(group: Communicator) {
    const own = Tensor.from('int32', [1], [group.rank])
    const received = Tensor.zeros('int32', [1])
    const next = (group.rank + 1) % group.size
    const previous = (group.rank + group.size - 1) % group.size
    // A message fits the channel, so that all may send first.
    await group.send(next, own)
    await group.receive(previous, received)
    return received.data[0]
  },
}

process.on('message', async (message: CommunicatorOptions | RankAddress[] | Request) => {
  try {
    if (Array.isArray(message)) {
      await group!.connect(message)
      process.send?.('connected')
    } else if ('operation' in message) {
      process.send?.(await operations[message.operation](group!, message.values ?? []))
    } else {
      group = new Communicator(message)
      process.send?.(group.address)
    }
  } catch (error) {
    process.send?.({ error: (error as Error).message })
  }
})
process.on('disconnect', () => process.exit())
