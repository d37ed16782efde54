import test from 'ava'
import fc from 'fast-check'
import { length } from './plan.js'
import { divideLayers, type ModelCosts, type StageDevice, stageLayers } from './stages.js'

const part = fc.record({ time: fc.integer({ min: 1, max: 20 }), memory: fc.integer({ min: 1, max: 20 }) })
const device = fc.record({ speed: fc.integer({ min: 1, max: 4 }), memory: fc.integer({ min: 20, max: 200 }) })

/** The time of the slowest stage of the best division, by trying all; infinite if none fits. */
function bestByTrying({ embedding, layers, head }: ModelCosts, devices: readonly StageDevice[], first = 0): number {
  const [own, ...others] = devices
  let best = Number.POSITIVE_INFINITY
  for (let end = first + 1; end <= layers.length - others.length; end++) {
    if (others.length === 0 && end < layers.length) continue
    const parts = [
      ...layers.slice(first, end),
      ...(first === 0 ? [embedding] : []),
      ...(others.length === 0 ? [head] : []),
    ]
    const total = (kind: 'time' | 'memory') => parts.reduce((sum, cost) => sum + cost[kind], 0)
    if (total('memory') > own!.memory) continue
    const rest = others.length === 0 ? 0 : bestByTrying({ embedding, layers, head }, others, end)
    best = Math.min(best, Math.max(total('time') / own!.speed, rest))
  }
  return best
}

test('layers are divided as well as any division is, by cost, speed and memory', (t) => {
  const costs = fc.record({ embedding: part, head: part, layers: fc.array(part, { minLength: 1, maxLength: 9 }) })
  fc.assert(
    fc.property(costs, fc.array(device, { minLength: 1, maxLength: 4 }), (costs, devices) => {
      if (devices.length > costs.layers.length) return
      const best = bestByTrying(costs, devices)
      if (best === Number.POSITIVE_INFINITY) {
        t.throws(() => divideLayers(costs, devices), { message: /do not fit the memory/ })
        return
      }
      const ranges = divideLayers(costs, devices)
      t.is(ranges[0]!.start, 0)
      t.is(ranges.at(-1)!.end, costs.layers.length)
      const times = ranges.map(({ start, end }, stage) => {
        if (stage > 0) t.is(start, ranges[stage - 1]!.end)
        t.true(end > start)
        const parts = [...costs.layers.slice(start, end)]
        if (stage === 0) parts.push(costs.embedding)
        if (stage === devices.length - 1) parts.push(costs.head)
        t.true(parts.reduce((sum, { memory }) => sum + memory, 0) <= devices[stage]!.memory)
        return parts.reduce((sum, { time }) => sum + time, 0) / devices[stage]!.speed
      })
      t.is(Math.max(...times), best)
    }),
  )
})

const model = {
  layers: 16,
  hiddenSize: 1024,
  intermediateSize: 4096,
  heads: 16,
  keyValueHeads: 8,
  headSize: 64,
  vocabularySize: 32_000,
}

test('the last stage has fewer layers where the head is heavy, and as many where it is light', (t) => {
  t.deepEqual(stageLayers({ ...model, vocabularySize: 128_000 }, 2).map(length), [10, 6])
  t.deepEqual(stageLayers(model, 2).map(length), [8, 8])
  t.deepEqual(stageLayers({ ...model, vocabularySize: 500 }, 2).map(length), [8, 8])
  t.deepEqual(stageLayers(model, 1), [{ start: 0, end: 16 }])
})

test('layers are divided as they are asked for, and nonsense is refused', (t) => {
  t.deepEqual(stageLayers(model, 3, [10, 2, 4]), [
    { start: 0, end: 10 },
    { start: 10, end: 12 },
    { start: 12, end: 16 },
  ])
  for (const counts of [
    [8, 8],
    [10, 2, 3],
    [16, 0, 0],
    [5.5, 5.5, 5],
  ]) {
    t.throws(() => stageLayers(model, 3, counts), { message: /layers must be 3 whole numbers above 0.*model's 16/ })
  }
})
