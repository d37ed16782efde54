import test from 'ava'
import fc from 'fast-check'
import { partition } from './plan.js'
import { countBefore, rankOf } from './striped.js'

test('ranks hold every token once, and as many of any run of tokens as each other, give or take one', (t) => {
  fc.assert(
    fc.property(fc.nat(300), fc.nat(300), fc.integer({ min: 1, max: 8 }), (start, count, ranks) => {
      const held = Array.from({ length: ranks }, () => 0)
      for (let position = start; position < start + count; position++) held[rankOf(position, ranks)]!++
      t.true(Math.max(...held) - Math.min(...held) <= 1)
      held.forEach((tokens, rank) => {
        t.is(tokens, countBefore(start + count, rank, ranks) - countBefore(start, rank, ranks))
      })
    }),
  )
})

test('causal work is even: with 2 ranks and 1,024 tokens the ranks attend to equally many pairs within 1 %', (t) => {
  const work = [0, 0]
  for (let position = 0; position < 1024; position++) work[rankOf(position, 2)]! += position + 1
  t.true(Math.abs(work[0]! - work[1]!) / work[0]! < 0.01)
})

test('parts of a partition are contiguous and differ by at most one', (t) => {
  fc.assert(
    fc.property(fc.nat(100), fc.integer({ min: 1, max: 12 }), (count, parts) => {
      const ranges = Array.from({ length: parts }, (_, i) => partition(count, parts, i))
      t.is(ranges[0]!.start, 0)
      t.is(ranges.at(-1)!.end, count)
      for (let i = 1; i < parts; i++) t.is(ranges[i]!.start, ranges[i - 1]!.end)
      const sizes = ranges.map(({ start, end }) => end - start)
      t.true(Math.max(...sizes) - Math.min(...sizes) <= 1)
    }),
  )
})

test('parts of whole blocks start at blocks and differ by at most one, as long as every part can have one', (t) => {
  const shapes = fc.record({ count: fc.integer({ min: 1, max: 500 }), block: fc.integer({ min: 1, max: 40 }) })
  fc.assert(
    fc.property(shapes, fc.integer({ min: 1, max: 12 }), ({ count, block }, parts) => {
      const ranges = Array.from({ length: parts }, (_, i) => partition(count, parts, i, block))
      t.is(ranges[0]!.start, 0)
      t.is(ranges.at(-1)!.end, count)
      for (let i = 1; i < parts; i++) t.is(ranges[i]!.start, ranges[i - 1]!.end)
      if (Math.ceil(count / block) < parts) return
      t.true(ranges.every(({ start }) => start % block === 0))
      const sizes = ranges.map(({ start, end }) => Math.ceil((end - start) / block))
      t.true(Math.min(...sizes) >= 1 && Math.max(...sizes) - Math.min(...sizes) <= 1)
    }),
  )
})
