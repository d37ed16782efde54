import test from 'ava'
import { Communicator } from './communicator.js'
import { Tensor } from './tensor.js'
import { collectGarbage, detach } from './testing/detach.js'
import { Trace } from './trace.js'

const ELEMENTS = 1 << 20

async function pair(): Promise<[Communicator, Communicator]> {
  const groups = [0, 1].map((rank) => new Communicator({ rank, size: 2, name: 'pair', node: 'a', token: 'secret' }))
  await Promise.all(groups.map((group) => group.connect(groups.map(({ address }) => address))))
  return groups as [Communicator, Communicator]
}

const ones = (memory: 'shared' | 'private') =>
  Tensor.from('float32', [ELEMENTS], new Float32Array(ELEMENTS).fill(1), { memory })

for (const memory of ['private', 'shared'] as const) {
  test(`${memory} memory that JavaScript gives away stays while a collective uses it`, async (t) => {
    const [first, second] = await pair()
    for (let round = 0; round < 10; round++) {
      const other = ones(memory)
      const running = (() => {
        const tensor = ones(memory)
        const { buffer } = tensor.data
        const all = first.allReduce(tensor)
        detach(buffer)
        tensor.release()
        return all
      })()
      collectGarbage()
      await new Promise((done) => setImmediate(done))
      collectGarbage()
      await Promise.all([running, second.allReduce(other)])
      t.true(other.data.every((value) => value === 2))
    }
  })
}

test('memory that JavaScript gives away stays while a program runs on it', async (t) => {
  const trace = new Trace()
  const product = (() => {
    const weights = Tensor.from('float32', [256, 256], new Float32Array(256 * 256).fill(1), { memory: 'private' })
    const program = trace.compile(
      { y: trace.linear(trace.input('x', 1, 256, 'float32'), trace.constant(weights)) },
      { threads: 2 },
    )
    program.inputs.x!.fill(1)
    const { buffer } = weights.data
    weights.release()
    detach(buffer)
    return program
  })()
  collectGarbage()
  const { data } = product.outputs.y!
  for (let run = 0; run < 20; run++) await product.run({})
  t.true(data.every((value) => value === 256))
  const running = product.run({})
  detach(data.buffer)
  collectGarbage()
  await running
  t.pass()
})

test('a tensor whose array was given away has another', (t) => {
  const tensor = Tensor.from('int32', [2], [1, 2])
  detach(tensor.data.buffer)
  t.deepEqual([...tensor.data], [1, 2])
  t.deepEqual([...new Int32Array(tensor.bytes.slice().buffer)], [1, 2])
})
