import test from 'ava'
import fc from 'fast-check'
import { balance, fillFastest, type StageLoad } from './divide-layers.js'

const stages = fc.array(
  fc.record({
    perLayer: fc.double({ min: 0.1, max: 10, noNaN: true }),
    extra: fc.double({ min: 0, max: 20, noNaN: true }),
    most: fc.oneof(fc.integer({ min: 1, max: 7 }), fc.constant(Number.POSITIVE_INFINITY)),
  }),
  { minLength: 1, maxLength: 4 },
)

function divisions(layers: number, loads: readonly StageLoad[]): number[][] {
  const [first, ...rest] = loads
  if (!first) return layers === 0 ? [[]] : []
  return Array.from({ length: Math.min(first.most, layers) }, (_, i) => i + 1).flatMap((count) =>
    divisions(layers - count, rest).map((others) => [count, ...others]),
  )
}

function times(counts: readonly number[], loads: readonly StageLoad[]): number[] {
  return counts.map((count, index) => loads[index]!.extra + count * loads[index]!.perLayer)
}

test('the longest stage of a balanced division, and all stages of a filled one, are as short as in any division', (t) => {
  const longest = (values: number[]) => Math.max(...values)
  const sum = (values: number[]) => values.reduce((a, b) => a + b, 0)
  fc.assert(
    fc.property(stages, fc.integer({ min: 1, max: 9 }), (loads, layers) => {
      const all = divisions(layers, loads)
      for (const [divide, measure] of [
        [balance, longest],
        [fillFastest, sum],
      ] as const) {
        const found = divide(layers, loads)
        if (!found) return all.length === 0
        if (sum(found) !== layers || found.some((count, index) => count < 1 || count > loads[index]!.most)) return false
        const best = Math.min(...all.map((counts) => measure(times(counts, loads))))
        if (measure(times(found, loads)) > best * (1 + 1e-9)) return false
      }
      return true
    }),
  )
  t.pass()
})
