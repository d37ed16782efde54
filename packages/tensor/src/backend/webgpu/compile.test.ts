import test from 'ava'
import { Tensor } from '../../tensor.js'
import { Trace } from '../../trace.js'
import { openDevice } from '../open-device.js'

test.before('a device is opened by its name', async () => {
  await openDevice('webgpu')
})

test('a value that never has rows is bound like any other', async (t) => {
  const trace = new Trace()
  const [none, x] = [trace.symbol('none', 0), trace.input('x', 4, 64, 'float32')]
  const y = trace.gatherRows(x, trace.input('indices', none))
  const program = trace.compile({ y: trace.add(y, y), sum: trace.add(x, x) }, { threads: 1, device: 'webgpu' })
  program.inputs.x!.fill(2)
  await program.run({ none: 0 })
  t.is(program.outputs.y!.data.length, 0)
  t.true(program.outputs.sum!.data.every((number) => number === 4))
})

test('what the host has to read, but the device has, is refused and not read as something else', async (t) => {
  const options = { threads: 1, device: 'webgpu' } as const
  const trace = new Trace()
  const frequencies = await Tensor.from('float32', [2], [1, 0.5]).to('webgpu')
  const table = trace.rotaryTable(trace.input('positions', 3), trace.constant(frequencies), 1)
  t.throws(() => trace.compile({ table }, options), {
    instanceOf: TypeError,
    message:
      /rotaryTable, which the host does, takes tensors on the host, found one on webgpu:0: copy it with to\('cpu'\)/,
  })
  const other = new Trace()
  const indices = await Tensor.from('int32', [2, 1], [3, 1_000_000]).to('webgpu')
  const y = other.gatherRows(other.input('x', 4, 2, 'float32'), other.constant(indices))
  t.throws(() => other.compile({ y }, options), {
    instanceOf: TypeError,
    message: /gatherRows: .* constants of the host, found a constant on webgpu:0/,
  })
})
