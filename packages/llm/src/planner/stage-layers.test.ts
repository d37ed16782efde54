import test from 'ava'
import { length } from '../parallel/plan.js'
import { stageLayers } from './stage-layers.js'

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
  t.throws(() => stageLayers(model, 17), { message: '16 layers cannot be divided among 17 pipeline stages' })
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
