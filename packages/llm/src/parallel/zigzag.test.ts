import test from 'ava'
import fc from 'fast-check'
import { partition } from './plan.js'
import { countBelow, zigzagPartition } from './zigzag.js'

test('every token is dealt once, each rank gets a rising list, and ranks end up as equal as what they hold allows', (t) => {
  fc.assert(
    fc.property(fc.nat(300), fc.array(fc.nat(40), { minLength: 1, maxLength: 8 }), (count, held) => {
      const dealt = zigzagPartition(count, held)
      t.deepEqual(
        dealt.flat().sort((a, b) => a - b),
        Array.from({ length: count }, (_, i) => i),
      )
      for (const offsets of dealt)
        t.deepEqual(
          offsets,
          [...offsets].sort((a, b) => a - b),
        )
      const totals = dealt.map((offsets, rank) => held[rank]! + offsets.length)
      const given = totals.filter((_, rank) => dealt[rank]!.length > 0)
      // Whoever was given a token has at most one more than anyone else.
      if (given.length > 0) t.true(Math.max(...given) - Math.min(...totals) <= 1)
    }),
  )
})

test('causal work is even: with 2 ranks and 1,024 tokens the ranks attend to equally many pairs within 1 %', (t) => {
  const work = zigzagPartition(1024, [0, 0]).map((offsets) => offsets.reduce((sum, offset) => sum + offset + 1, 0))
  t.true(Math.abs(work[0]! - work[1]!) / work[0]! < 0.01)
})

test('countBelow counts as a scan does', (t) => {
  fc.assert(
    fc.property(fc.array(fc.nat(50)), fc.nat(60), (values, limit) => {
      const rising = values.sort((a, b) => a - b)
      return countBelow(rising, limit) === rising.filter((value) => value < limit).length
    }),
  )
  t.pass()
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
