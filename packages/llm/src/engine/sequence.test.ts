import test from 'ava'
import fc from 'fast-check'
import { BlockAllocator } from './cache.js'
import { SequenceState } from './sequence.js'

const BLOCK = 4

test('over any steps, ranks and windows each query sees exactly the tokens up to its own, wherever they are cached', (t) => {
  const sizes = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 8 })
  const windows = fc.integer({ min: 1, max: 40 })
  fc.assert(
    fc.property(sizes, fc.integer({ min: 1, max: 5 }), windows, (steps, ranks, window) => {
      const allocators = Array.from({ length: ranks }, () => new BlockAllocator(64))
      const sequence = new SequenceState(allocators, BLOCK, window)
      /** For each rank what its cache holds: the position stored at each slot. */
      const caches = allocators.map(() => new Map<number, number>())
      for (const size of steps) {
        const start = sequence.length
        const ids = Array.from({ length: size }, (_, i) => 100 + start + i)
        const dealt = sequence.append(ids, 'last')
        dealt.forEach((step, rank) => {
          t.deepEqual(
            step.ids,
            step.positions.map((position) => 100 + position),
          )
          step.slots.forEach((slot, i) => {
            t.false(caches[rank]!.has(slot))
            caches[rank]!.set(slot, step.positions[i]!)
          })
        })
        const queries = dealt.flatMap((step) => step.positions)
        /** The positions of the tokens from `begin` on that a query sees on any rank. */
        const seen = (query: number, begin: 'begin' | 'windowBegin') =>
          dealt
            .flatMap((step, rank) => {
              const table = step.blockTables[step.sequence[query]!]!
              return Array.from({ length: step.end[query]! - step[begin][query]! }, (_, i) => {
                const token = step[begin][query]! + i
                return caches[rank]!.get(table[Math.floor(token / BLOCK)]! * BLOCK + (token % BLOCK))
              })
            })
            .sort((a, b) => a! - b!)
        queries.forEach((position, query) => {
          const all = Array.from({ length: position + 1 }, (_, i) => i)
          t.deepEqual(seen(query, 'begin'), all)
          t.deepEqual(seen(query, 'windowBegin'), all.slice(-window))
        })
        t.is(dealt.flatMap((step) => step.outputs).length, 1)
        const owner = dealt.find((step) => step.outputs.length > 0)!
        t.is(owner.positions[owner.outputs[0]!], sequence.length - 1)
      }
    }),
    { numRuns: 60 },
  )
})

test('released blocks are used again, and taking more than there are fails', (t) => {
  const allocator = new BlockAllocator(2)
  for (let i = 0; i < 3; i++) {
    const sequence = new SequenceState([allocator], BLOCK)
    sequence.append([1, 2, 3, 4, 5], 'none')
    sequence.release()
  }
  const sequence = new SequenceState([allocator], BLOCK)
  t.throws(() => sequence.append(Array(9).fill(1), 'none'), { message: /all 2 blocks of the KV cache are in use/ })
})
