import test from 'ava'
import { InvalidInputError } from '../index.js'
import { checkOrder } from './plan.js'
import type { CallStep, CollectiveStep } from './protocol.js'

const call = (value: number, ...needs: number[]): CallStep => {
  return { kind: 'call', value, label: `step ${value}`, method: 'run', args: needs.map((need) => ({ value: need })) }
}

const collective = (value: number, group: number, rank: number, need: number): CollectiveStep => ({
  kind: 'collective',
  value,
  label: `rank ${rank}`,
  operation: 'allReduce',
  reduction: 'sum',
  args: [{ value: need }],
  group,
  rank,
  members: ['a', 'b'],
})

test('steps that can run one after the other are accepted in any order', (t) => {
  t.notThrows(() => checkOrder(1, [call(2, 1), call(1, 0), collective(3, 0, 0, 1), collective(4, 0, 1, 2)]))
})

test('steps that wait for each other are named', (t) => {
  t.throws(() => checkOrder(1, [call(1, 0), call(2, 3, 1), call(3, 2)]), {
    instanceOf: InvalidInputError,
    message: 'these steps of the graph would wait for each other for ever: step 2, step 3',
  })
})

test('the parts of a collective wait for what any of them needs', (t) => {
  const steps = [call(1, 0), collective(2, 0, 0, 1), call(3, 2), collective(4, 0, 1, 3)]
  t.throws(() => checkOrder(1, steps), { message: /rank 0, step 3, rank 1/ })
})
