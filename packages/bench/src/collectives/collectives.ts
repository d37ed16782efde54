import { type ChildProcess, fork } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { on, once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { type Benchmark, BenchmarkError, type Figure } from '../benchmark.js'
import type { RankMessage, RankOptions } from './rank.js'

const rankModule = fileURLToPath(new URL('./rank.js', import.meta.url))
const backends = ['shared', 'tcp'] as const

/** Bytes of an all-reduce, and of all ranks' parts of an all-gather together. */
const sizes = [4 << 10, 64 << 10, 1 << 20, 16 << 20, 64 << 20]

/**
 * Microseconds of an all-reduce and an all-gather among processes of this machine, in shared memory or over TCP, measured
 * by rank 0 in programs of many operations: in a run after the first one, and (`.first`) in that, which is in memory that
 * none has used. In shared memory also the bandwidth of the largest all-reduce, which cannot do with less than to read and
 * write every rank's memory once, beside that of a plain addition by as many threads.
 */
export const collectives: Benchmark = {
  name: 'collectives',
  summary: 'all-reduce and all-gather: --backend shared|tcp --world RANKS [--sizes BYTES,…]',
  options: {
    backend: { type: 'string', default: 'shared' },
    world: { type: 'string', default: '2' },
    sizes: { type: 'string', default: sizes.join() },
  },
  async *run({ backend, world, sizes }) {
    const choice = backends.find((known) => known === backend)
    if (!choice) throw new BenchmarkError(`--backend must be ${backends.join(' or ')}, found ${backend}`)
    const size = ranksFrom(String(world))
    yield* measure({ backend: choice, size, sizes: sizesFrom(String(sizes)), token: randomUUID() })
  },
}

/** @throws BenchmarkError unless every size fills whole rows of the addition that the bandwidth is held against. */
function sizesFrom(text: string): number[] {
  const sizes = text.split(',').map(Number)
  if (sizes.every((size) => Number.isSafeInteger(size) && size > 0 && size % 4096 === 0)) return sizes
  throw new BenchmarkError(`--sizes takes multiples of 4096 bytes, found ${text}`)
}

async function* measure(options: Omit<RankOptions, 'rank'>): AsyncGenerator<Figure> {
  const ranks = Array.from({ length: options.size }, () => fork(rankModule))
  try {
    const addresses = Promise.all(ranks.map(next))
    ranks.forEach((child, rank) => {
      child.send({ ...options, rank } satisfies RankOptions)
    })
    const known = (await addresses).map((message) => 'address' in message && message.address)
    const first = ranks[0]!
    const failed = Promise.race(ranks.map(failure))
    failed.catch(() => {})
    const messages = on(first, 'message')
    for (const child of ranks) child.send(known)
    for (;;) {
      const { value } = await Promise.race([messages.next(), failed])
      const [message] = value as [RankMessage]
      if ('done' in message) return
      if ('figure' in message) yield message.figure
    }
  } finally {
    for (const child of ranks) child.kill()
  }
}

async function next(child: ChildProcess): Promise<RankMessage> {
  const [message] = await Promise.race([once(child, 'message'), failure(child)])
  return message as RankMessage
}

async function failure(child: ChildProcess): Promise<never> {
  const [code, signal] = await once(child, 'exit')
  throw new Error(`a rank ended (${signal ?? `exit code ${code}`})`)
}

function ranksFrom(text: string): number {
  const count = Number(text)
  if (Number.isSafeInteger(count) && count > 0) return count
  throw new BenchmarkError(`--world takes a whole number above 0, found ${text}`)
}
