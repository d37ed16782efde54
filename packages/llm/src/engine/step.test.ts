import test from 'ava'
import fc from 'fast-check'
import { BlockPool } from './cache.js'
import { CachedSequence } from './sequence.js'
import { layOut } from './step.js'

const BLOCK = 4

test('over any steps, sequences, ranks and windows each query sees exactly the tokens of its sequence up to its own', (t) => {
  /** For each step the tokens of up to three sequences, 0 for one that has no part in it. */
  const steps = fc.array(fc.tuple(fc.nat(12), fc.nat(12), fc.nat(12)), { minLength: 1, maxLength: 6 })
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 40 }), (steps, ranks, window) => {
      const pool = new BlockPool(ranks, 100, BLOCK)
      const sequences = [0, 1, 2].map((row) => new CachedSequence(pool, 0, row))
      /** For each rank what its cache holds, as sequence and position at each slot, and its block tables. */
      const caches = Array.from({ length: ranks }, () => new Map<number, string>())
      const tables = Array.from({ length: ranks }, () => new Map<string, number>())
      for (const sizes of steps.filter((sizes) => sizes.some((size) => size > 0))) {
        const segments = sizes.flatMap((size, row) =>
          size === 0 ? [] : [{ cached: sequences[row]!, ids: Array(size).fill(row), outputs: 'last' as const }],
        )
        const { layout, outputs } = layOut(segments, window)
        layout.ranks.forEach(({ ids, positions, slots, blocks }, rank) => {
          slots.forEach((slot, i) => {
            t.false(caches[rank]!.has(slot))
            caches[rank]!.set(slot, `${ids[i]}:${positions[i]}`)
          })
          for (let i = 0; i < blocks.length; i += 3) tables[rank]!.set(`${blocks[i]}:${blocks[i + 1]}`, blocks[i + 2]!)
        })
        const queries = layout.ranks.flatMap(({ ids, positions }) =>
          ids.map((id, i) => ({ id, position: positions[i]! })),
        )
        t.deepEqual(
          layout.sequence,
          queries.map(({ id }) => id),
        )
        t.deepEqual(
          layout.counts,
          layout.ranks.map(({ ids }) => ids.length),
        )
        queries.forEach(({ id, position }, query) => {
          for (const from of ['begin', 'windowBegin'] as const) {
            const seen = layout.ranks.flatMap((step, rank) =>
              Array.from({ length: step.end[query]! - step[from][query]! }, (_, i) => {
                const token = step[from][query]! + i
                const block = tables[rank]!.get(`${id}:${Math.floor(token / BLOCK)}`)!
                return caches[rank]!.get(block * BLOCK + (token % BLOCK))
              }),
            )
            const first = from === 'begin' ? 0 : Math.max(0, position + 1 - window)
            const expected = Array.from({ length: position + 1 - first }, (_, i) => `${id}:${first + i}`)
            t.deepEqual(seen.sort(), expected.sort())
          }
        })
        const found = layout.ranks.flatMap((step) => step.outputs.map((at) => `${step.ids[at]}:${step.positions[at]}`))
        t.deepEqual(
          found,
          outputs.map(({ segment, position }) => `${segments[segment]!.cached.row}:${position}`),
        )
        t.deepEqual([...found].sort(), segments.map(({ cached }) => `${cached.row}:${cached.length - 1}`).sort())
      }
    }),
    { numRuns: 60 },
  )
})

test('released blocks are used again, and no more are reserved than there are', (t) => {
  const pool = new BlockPool(1, 2, BLOCK)
  for (let i = 0; i < 3; i++) {
    t.true(pool.reserve(2))
    t.false(pool.reserve(1))
    const sequence = new CachedSequence(pool, 2, 0)
    sequence.append([1, 2, 3, 4, 5])
    sequence.release()
    t.is(pool.unreserved, 2)
  }
})
