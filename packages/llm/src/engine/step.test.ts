import test from 'ava'
import fc from 'fast-check'
import { BlockHashes, BlockPool } from './cache.js'
import { CachedSequence } from './sequence.js'
import { layOut } from './step.js'

const BLOCK = 4

test('over any steps, sequences, ranks and windows each query sees exactly the tokens of its sequence up to its own', (t) => {
  /** For each step the tokens of up to three sequences, 0 for one that has no part in it. */
  const steps = fc.array(fc.tuple(fc.nat(12), fc.nat(12), fc.nat(12)), { minLength: 1, maxLength: 6 })
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 40 }), (steps, ranks, window) => {
      const pool = new BlockPool(ranks, 100, BLOCK)
      const sequences = [0, 1, 2].map((row) => new CachedSequence(pool, row))
      /** For each rank what its cache holds, as sequence and position at each slot; and the block tables. */
      const caches = Array.from({ length: ranks }, () => new Map<number, string>())
      const tables = new Map<string, number>()
      for (const sizes of steps.filter((sizes) => sizes.some((size) => size > 0))) {
        const segments = sizes.flatMap((size, row) =>
          size === 0 ? [] : [{ cached: sequences[row]!, ids: Array(size).fill(row), outputs: 'last' as const }],
        )
        const { layout, outputs } = layOut(segments, window)
        const { blocks } = layout
        for (let i = 0; i < blocks.length; i += 3) tables.set(`${blocks[i]}:${blocks[i + 1]}`, blocks[i + 2]!)
        layout.ranks.forEach(({ ids, positions, slots }, rank) => {
          slots.forEach((slot, i) => {
            t.false(caches[rank]!.has(slot))
            caches[rank]!.set(slot, `${ids[i]}:${positions[i]}`)
          })
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
                const block = tables.get(`${id}:${Math.floor(token / BLOCK)}`)!
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

test('what two texts share is kept until its place is needed, that which was used longest ago going first', (t) => {
  const pool = new BlockPool(2, 4, BLOCK)
  const hashes = new BlockHashes(pool.tokens)
  const text = Array.from({ length: 17 }, (_, i) => i)
  const first = new CachedSequence(pool, 0)
  first.append(text)
  first.publish(hashes.of(text))
  first.release()
  t.deepEqual([pool.free, pool.kept], [4, 2])

  const second = new CachedSequence(pool, 1)
  const blocks = hashes.of(text).map((hash) => pool.find(hash)!)
  for (const block of blocks) second.attach(block)
  t.is(second.length, 16)
  t.deepEqual(second.announce(), [1, 0, blocks[0]!, 1, 1, blocks[1]!])
  second.append([16])
  t.deepEqual([pool.free, pool.kept], [1, 0])
  second.truncate(16)
  t.throws(() => second.append(Array(100).fill(1)), { message: /all 4 blocks/ })
  second.release()

  const third = new CachedSequence(pool, 0)
  third.append(Array(3 * pool.tokens).fill(1))
  t.not(pool.find(hashes.of(text)[0]!), undefined, 'the beginning is found for longest')
  t.is(pool.find(hashes.of(text)[1]!), undefined)
})

test('a block that two texts use cannot be changed by one of them', (t) => {
  const pool = new BlockPool(1, 4, BLOCK)
  const [one, other] = [new CachedSequence(pool, 0), new CachedSequence(pool, 1)]
  const hashes = new BlockHashes(BLOCK).of([1, 2, 3, 4])
  one.append([1, 2, 3, 4])
  one.publish(hashes)
  other.attach(pool.find(hashes[0]!)!)
  t.throws(() => other.truncate(2), { message: /others use/ })
  t.is(other.length, 4)
  one.release()
  other.truncate(2)
  t.is(pool.find(hashes[0]!), undefined)
})
