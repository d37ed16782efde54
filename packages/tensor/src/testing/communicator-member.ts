// One rank of communicator.test.ts: is sent its options, answers with its address, is sent all addresses, then runs what
// it is asked to and answers with the result.
import { Communicator, type CommunicatorOptions, type RankAddress } from '../communicator.js'
import { Tensor } from '../tensor.js'

interface Request {
  operation: keyof typeof operations
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
    await group.group(() => {
      group.receive((group.rank + group.size - 1) % group.size, received)
      group.send((group.rank + 1) % group.size, own)
    })
    return received.data[0]
  },
  /** Each operation's result, of ranks that give rows of their rank + 1. */
  async everything(group: Communicator) {
    const { rank, size } = group
    const fill = (rows: number) => Tensor.from('float32', [rows, 1], Array(rows).fill(rank + 1))
    const rows = Array.from({ length: size }, (_, r) => r)
    const total = rows.reduce((a, b) => a + b)
    const results: Record<string, number[]> = {}

    const average = fill(2)
    const largest = Tensor.zeros('float32', [2, 1])
    group.allReduce(average, { reduction: 'max', output: largest })
    group.allReduce(average, { reduction: 'average' })
    const reduced = fill(1)
    group.reduce(reduced, 1, { reduction: 'product' })
    const slice = Tensor.zeros('float32', [rank, 1])
    group.reduceScatter(fill(total), slice, { rows })
    const sent = fill(1)
    group.broadcast(sent, 1)
    const gathered = Tensor.zeros('float32', [total, 1])
    group.gather(fill(rank), rows, 0, rank === 0 ? gathered : undefined)
    const scattered = Tensor.zeros('float32', [rank, 1])
    group.scatter(
      scattered,
      rows,
      0,
      rank === 0
        ? Tensor.from(
            'float32',
            [total, 1],
            Array.from({ length: total }, (_, i) => i),
          )
        : undefined,
    )
    const exchanged = Tensor.zeros('float32', [size, 1])
    group.allToAll(fill(size), exchanged)
    await group.barrier()
    Object.assign(results, { average: [...average.data], largest: [...largest.data], slice: [...slice.data] })
    Object.assign(results, { reduced: rank === 1 ? [...reduced.data] : [], sent: [...sent.data] })
    Object.assign(results, {
      gathered: [...gathered.data],
      scattered: [...scattered.data],
      exchanged: [...exchanged.data],
    })
    return results
  },
  /** The sum of the ranks that are even, or odd, as this one is, and this rank's place among them in reverse order. */
  async split(group: Communicator) {
    const half = await group.split(group.rank % 2, -group.rank)
    const sum = Tensor.from('int32', [1], [group.rank])
    await half.allReduce(sum)
    return [sum.data[0], half.rank, half.size]
  },
  async disagree(group: Communicator) {
    await group.allReduce(Tensor.zeros(group.rank === 0 ? 'float32' : 'int32', [3]))
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
