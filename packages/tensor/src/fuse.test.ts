import test from 'ava'
import { fuse } from './fuse.js'
import { Tensor } from './tensor.js'
import { Trace, type Value } from './trace.js'

function setUp() {
  const trace = new Trace()
  const weight = (rows = 4) => trace.constant(Tensor.zeros('float32', [rows, 4]))
  const x = trace.embedding(trace.input('ids', 1), weight())
  return {
    trace,
    weight,
    x,
    fused: (...kept: Value[]) => fuse(trace.operations, new Set(kept)).map(({ name, numbers }) => [name, numbers]),
  }
}

test('products of one input become one operation, in the order of their outputs', (t) => {
  const { trace, weight, x } = setUp()
  const first = trace.linear(x, weight())
  const moved = trace.rotate(first, weight(1))
  const second = trace.linear(x, weight(), weight(1))
  const operations = fuse(trace.operations, new Set([moved, second]))
  t.deepEqual(
    operations.map(({ name }) => name),
    ['embedding', 'linear', 'rotate'],
  )
  t.deepEqual(operations[1]!.outputs, [first, second])
  t.deepEqual(operations[1]!.numbers, { product0: 0, product1: 1 })
})

test('a gated feed-forward layer and its sum become two operations', (t) => {
  const { trace, weight, x, fused } = setUp()
  const gated = trace.siluMultiply(trace.linear(x, weight()), trace.linear(x, weight()))
  const sum = trace.add(x, trace.linear(gated, weight()))
  t.deepEqual(fused(sum), [
    ['embedding', { start: 0 }],
    ['linear', { product0: 4 }],
    ['linear', { product0: 2 }],
  ])
})

test('a product that something else reads too, or that is kept, is not swallowed by a sum', (t) => {
  const { trace, weight, x, fused } = setUp()
  const product = trace.linear(x, weight())
  const sum = trace.add(x, product)
  t.deepEqual(
    fused(sum, product).map(([name]) => name),
    ['embedding', 'linear', 'add'],
  )
  t.deepEqual(
    fused(trace.add(sum, product)).map(([name]) => name),
    ['embedding', 'linear', 'add', 'add'],
  )
})
