import test from 'ava'
import { Tensor } from './tensor.js'
import { detach } from './testing/detach.js'
import { Trace } from './trace.js'

function program() {
  const trace = new Trace()
  const rows = trace.symbol('rows', 3)
  const x = trace.input('x', rows, 1, 'float32')
  const y = trace.gatherRows(x, trace.input('ids', rows))
  return trace.compile({ y }, { threads: 1 })
}

test('an input takes what its type can hold, and nothing else', (t) => {
  const { inputs } = program()
  const { x, ids } = inputs as Record<'x' | 'ids', (typeof inputs)[string]>
  t.deepEqual([x.length, x.type, ids.length, ids.type], [3, 'float32', 3, 'int32'])
  x.set([0.1, 2, 3])
  ids.set(Int32Array.of(2, 0, 1))
  const refused: [unknown[], number, RegExp, 'RangeError' | 'TypeError'][] = [
    [
      [0, 1.5],
      0,
      /^input ids: expected whole numbers from -2147483648 to 2147483647; found 1.5 at \[1\]$/,
      'RangeError',
    ],
    [[Number.NaN], 0, /found NaN/, 'RangeError'],
    [[-(2 ** 31) - 1], 0, /found -2147483649/, 'RangeError'],
    [['2'], 0, /found '2'/, 'TypeError'],
    [[false], 0, /found false/, 'TypeError'],
    [[1n], 0, /found 1n/, 'TypeError'],
    [[0, 0, 0, 0], 0, /^input ids: expected at most 3 values from 0 on, found 4$/, 'RangeError'],
    [[0, 0], 2, /expected at most 1 values from 2 on, found 2/, 'RangeError'],
    [[0], -1, /the offset: expected a whole number from 0 to 3, found -1/, 'RangeError'],
    [[0], 0.5, /the offset: .* found 0.5/, 'RangeError'],
  ]
  for (const [values, offset, message, name] of refused) {
    t.throws(() => ids.set(values as number[], offset), { message, name })
  }
  t.throws(() => ids.set(Float32Array.of(0.5)), { instanceOf: RangeError })
  t.throws(() => ids.set(Tensor.zeros('int32', [3]) as never), { instanceOf: TypeError, message: /expected a list/ })
  const transferred = Int32Array.of(0)
  structuredClone(transferred, { transfer: [transferred.buffer] })
  t.throws(() => ids.set(transferred), { instanceOf: TypeError, message: /was transferred/ })
  t.throws(() => ids.fill(0.5), { instanceOf: RangeError })
  t.throws(() => ids.fill('1' as never), { instanceOf: TypeError })
  t.throws(() => ids.fill(0, 0, 4), { instanceOf: RangeError, message: /the end: expected a whole number from 0 to 3/ })
  t.throws(() => x.set(['1'] as never), {
    instanceOf: TypeError,
    message: /^input x: expected numbers; found '1' at \[0\]$/,
  })
  t.throws(
    () => {
      ;(ids as unknown as number[])[0] = 1
    },
    { instanceOf: TypeError },
    'an input is no array',
  )
})

test('numbers reach the operations as they were given, also in part of an input', async (t) => {
  const each = program()
  each.inputs.x!.set([0.1, 2, Number.NaN])
  each.inputs.ids!.fill(2)
  each.inputs.ids!.set([0], 1)
  await each.run({ rows: 3 })
  t.deepEqual([...each.outputs.y!.data], [Number.NaN, Math.fround(0.1), Number.NaN])
})

test('an input whose memory was transferred away says so, and the program still runs', async (t) => {
  const each = program()
  each.inputs.x!.set([1, 2, 3])
  each.inputs.ids!.set([2, 1, 0])
  if (detach(each.outputs.y!.data.buffer)) {
    t.throws(() => each.inputs.ids!.set([0]), { message: /input ids: the program's memory was transferred/ })
    t.throws(() => each.inputs.ids!.fill(0), { message: /input ids: the program's memory was transferred/ })
  } else {
    t.notThrows(() => each.inputs.ids!.set([2]))
  }
  await t.notThrowsAsync(each.run({ rows: 3 }))
})

test('row counts that are no whole numbers within their limits are refused', async (t) => {
  const each = program()
  for (const rows of [1.5, -1, 4, Number.NaN, '1', 1n, true, null, undefined]) {
    t.throws(() => each.run({ rows } as never), {
      instanceOf: RangeError,
      message: /rows must be a whole number between 0 and 3/,
    })
  }
  t.throws(() => each.run(undefined as never), { instanceOf: RangeError })
})
