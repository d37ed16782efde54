// One rank of the collectives benchmark: is sent its options, answers with its address, is sent all addresses, then
// measures. Rank 0 sends the figures.
import { availableParallelism } from 'node:os'
import { Communicator, type Program, type RankAddress, Tensor, Trace } from '@troupe/tensor'
import type { Figure } from '../benchmark.js'
import { pageFaults } from '../numbers.js'

export interface RankOptions {
  backend: 'shared' | 'tcp'
  rank: number
  size: number
  /** Bytes to measure with. */
  sizes: readonly number[]
  token: string
}

export type RankMessage = { address: RankAddress } | { figure: Figure } | { done: true }

process.once('message', async (options: RankOptions) => {
  const { backend, rank, size, token } = options
  const group = new Communicator({
    rank,
    size,
    name: 'bench',
    node: backend === 'shared' ? 'all' : `${rank}`,
    host: '127.0.0.1',
    token,
    spin: size <= availableParallelism(),
  })
  process.once('message', async (addresses: RankAddress[]) => {
    await group.connect(addresses)
    for (const bytes of options.sizes) await measure(group, bytes)
    if (backend === 'shared') await compareBandwidth(group, Math.max(...options.sizes))
    if (rank === 0) send({ done: true })
    // The driver ends this process, so that the group stays whole until rank 0 is done.
  })
  send({ address: group.address })
})
process.on('disconnect', () => process.exit())

async function measure(group: Communicator, bytes: number): Promise<void> {
  const repeats = repeatsFor(bytes)
  reportTimes(group, `allreduce.${bytes}`, await time(allReduces(bytes, group), repeats))
  reportTimes(group, `allgather.${bytes}`, await time(allGathers(bytes, group), repeats))
}

async function compareBandwidth(group: Communicator, bytes: number): Promise<void> {
  const { again: reduced } = await time(allReduces(bytes, group), repeatsFor(bytes))
  const bandwidth = (2 * group.size * bytes) / reduced.microseconds / 1000
  report(group, { name: `allreduce.${bytes}.bandwidth`, unit: 'GB/s', value: bandwidth, faults: reduced.faults })
  if (group.rank !== 0) return
  const { again: added } = await time(additions(bytes, group.size), repeatsFor(bytes))
  const beside = (3 * bytes) / added.microseconds / 1000
  report(group, { name: `add.${bytes}.bandwidth`, unit: 'GB/s', value: beside, faults: added.faults })
}

function reportTimes(group: Communicator, name: string, { first, again }: Times): void {
  report(group, { name, unit: 'us', value: again.microseconds, faults: again.faults })
  report(group, { name: `${name}.first`, unit: 'us', value: first.microseconds, faults: first.faults })
}

function report(group: Communicator, figure: Figure): void {
  if (group.rank === 0) send({ figure })
}

function send(message: RankMessage): void {
  process.send?.(message)
}

/** Enough operations to move some 64 MiB, as many as gloo's own measurement takes. */
function repeatsFor(bytes: number): number {
  return Math.max(5, Math.min(2000, Math.floor((64 << 20) / bytes)))
}

type Repeated = (count: number) => () => Promise<void>

/** Microseconds an operation, and the pages that became present in all of them. */
interface Time {
  microseconds: number
  faults: number
}

/** The first run of a program, in memory that no run has used, and the second one. */
interface Times {
  first: Time
  again: Time
}

/** The first run leaves the ranks of a group at the same point for the second one. */
async function time(repeated: Repeated, count: number): Promise<Times> {
  const run = repeated(count)
  const timed = async () => {
    const before = pageFaults()
    const began = performance.now()
    await run()
    return { microseconds: ((performance.now() - began) * 1000) / count, faults: pageFaults() - before }
  }
  return { first: await timed(), again: await timed() }
}

/** Programs that all-reduce `bytes` in place, over and over. */
function allReduces(bytes: number, group: Communicator): Repeated {
  const ones = Tensor.zeros('float32', [1, bytes / 4])
  ones.data.fill(1)
  return (count) => {
    const trace = new Trace()
    let x = trace.constant(ones)
    for (let i = 0; i < count; i++) x = trace.allReduce(x, group)
    return runner(trace.compile({ x }, { threads: 1 }))
  }
}

/** Programs that gather the ranks' equal parts of `bytes`. */
function allGathers(bytes: number, group: Communicator): Repeated {
  const piece = Tensor.zeros('float32', [1, Math.floor(bytes / 4 / group.size)])
  return (count) => {
    const trace = new Trace()
    const rows = trace.symbol('rows', group.size)
    const counts = trace.input('counts', group.size)
    let x = trace.constant(piece)
    for (let i = 0; i < count; i++) x = trace.allGatherRows(trace.constant(piece), counts, rows, group)
    const program = trace.compile({ x }, { threads: 1 })
    program.inputs.counts!.fill(1)
    return runner(program, { rows: group.size })
  }
}

/** Programs that add two rows of `bytes` into a third, on as many threads as there are ranks. */
function additions(bytes: number, threads: number): Repeated {
  const shape = [1024, bytes / 4 / 1024]
  const [a, b] = [Tensor.zeros('float32', shape), Tensor.zeros('float32', shape)]
  a.data.fill(1)
  b.data.fill(1)
  return (count) => {
    const trace = new Trace()
    let x = trace.constant(a)
    for (let i = 0; i < count; i++) x = trace.add(trace.constant(a), trace.constant(b))
    return runner(trace.compile({ x }, { threads }))
  }
}

function runner(program: Program, rows: Record<string, number> = {}): () => Promise<void> {
  return () => program.run(rows)
}
