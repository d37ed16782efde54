import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import test from 'ava'
import type { DataType } from './data-type.js'
import { Tensor, type TensorHandle } from './tensor.js'

const peer = fileURLToPath(new URL('./testing/tensor-peer.js', import.meta.url))

test('a tensor has row-major strides and its typed array sees its memory', (t) => {
  const tensor = Tensor.from('float32', [2, 3], [1, 2, 3, 4, 5, 6])
  t.deepEqual(tensor.strides, [3, 1])
  t.is(tensor.byteLength, 24)
  tensor.rows(1, 2).data[0] = 40
  t.deepEqual([...tensor.data], [1, 2, 3, 40, 5, 6])
  tensor.reshape([6]).data[5] = 60
  t.is(tensor.data[5], 60)
})

test('an empty tensor and one of a single element work', (t) => {
  t.is(Tensor.zeros('int32', [0, 4]).data.length, 0)
  t.is(Tensor.zeros('int64', []).size, 1)
})

test('impossible shapes and counts are refused with what was found', (t) => {
  t.throws(() => Tensor.zeros('float32', [2, -1]), { instanceOf: RangeError, message: /found -1/ })
  t.throws(() => Tensor.from('float32', [2], [1, 2, 3]), { instanceOf: RangeError, message: /found 3/ })
  t.throws(() => Tensor.zeros('float32', [2, 2]).reshape([3]), { instanceOf: RangeError })
  t.throws(() => Tensor.zeros('float32', [2, 2]).rows(1, 3), { instanceOf: RangeError })
})

test('another process maps a shared tensor in place: each side sees what the other writes', async (t) => {
  const tensor = Tensor.from('float32', [3], [1, 2, 3])
  const child = fork(peer)
  child.send({ handle: tensor.handle })
  const [sum] = await once(child, 'message')
  t.is(sum, 6)
  t.deepEqual([...tensor.data], [10, 20, 30])
  child.kill('SIGKILL')
  await once(child, 'exit')
})

test('the memory of a killed process is gone, and opening it says so', async (t) => {
  const child = fork(peer)
  child.send({ make: 5 })
  const [handle] = (await once(child, 'message')) as [TensorHandle]
  const mapped = Tensor.open(handle)
  t.deepEqual([...mapped.data], [5, 5])
  child.kill('SIGKILL')
  await once(child, 'exit')
  t.deepEqual([...mapped.data], [5, 5], 'what is mapped stays')
  t.throws(() => Tensor.open(handle), { message: /is gone: process \d+, which owns it, has ended/ })
})

test('private memory has no handle', (t) => {
  t.is(Tensor.zeros('float32', [1], { memory: 'private' }).handle, undefined)
})

test('a quantized tensor is made of whole blocks, and its rows are views of them', (t) => {
  const tensor = Tensor.zeros('q4_k', [3, 512], { memory: 'private' })
  t.is(tensor.byteLength, 3 * 2 * 144)
  t.is(tensor.data.length, tensor.byteLength)
  tensor.rows(1, 2).data.fill(7)
  t.deepEqual(
    [0, 1, 2].map((row) => new Set(tensor.rows(row, row + 1).data)),
    [new Set([0]), new Set([7]), new Set([0])],
  )
  t.throws(() => Tensor.zeros('q4_k', [3, 320]), {
    instanceOf: RangeError,
    message: /multiple of 256 numbers; found 320/,
  })
  t.throws(() => Tensor.from('q8_0', [1, 32], [1, 2]), { instanceOf: RangeError, message: /takes 34 values; found 2/ })
})

test('a tensor prints its dtype, shape and first elements', (t) => {
  const shown: [Tensor, string][] = [
    [Tensor.from('float32', [2, 4], [1, 0.5, -2, 3, 4, 5, 6, 7]), 'Tensor(float32 [2, 4]: 1, 0.5, -2, 3, 4, 5, …)'],
    [Tensor.from('int64', [2], [1n, -2n]), 'Tensor(int64 [2]: 1, -2)'],
    [
      Tensor.from('float16', [5], [0x3c00, 0xc000, 0x7c00, 0x0001, 0x8000]),
      `Tensor(float16 [5]: 1, -2, Infinity, ${2 ** -24}, 0)`,
    ],
    [Tensor.from('bfloat16', [2], [0x3f80, 0xc040]), 'Tensor(bfloat16 [2]: 1, -3)'],
    [Tensor.zeros('q4_k', [3, 512]), 'Tensor(q4_k [3, 512])'],
    [Tensor.zeros('float32', [0]), 'Tensor(float32 [0])'],
  ]
  for (const [tensor, text] of shown) t.is(inspect([tensor]), inspect([tensor], { depth: null }), text)
  for (const [tensor, text] of shown) t.is(inspect(tensor), text)
})

test('a tensor that was released prints as such, and so do the views of it', (t) => {
  const released = Tensor.from('float32', [2, 2], [1, 2, 3, 4])
  const views = [released.rows(1, 2), released.reshape([4]), released.view('uint8', [16])]
  t.is(inspect(views[0]), 'Tensor(float32 [1, 2]: 3, 4)')
  released.release()
  t.is(inspect(released), 'Tensor(float32 [2, 2], released)')
  t.deepEqual(
    views.map((view) => inspect(view)),
    ['Tensor(float32 [1, 2], released)', 'Tensor(float32 [4], released)', 'Tensor(uint8 [16], released)'],
  )
  t.is(inspect({ released }), '{ released: Tensor(float32 [2, 2], released) }')
  for (const type of ['q8_0', 'int64', 'float16'] as const) {
    for (const memory of ['shared', 'private'] as const) {
      const each = Tensor.zeros(type, [1, 32], { memory })
      each.release()
      t.is(inspect(each), `Tensor(${type} [1, 32], released)`)
      t.throws(() => each.data, { message: 'this tensor was released' })
    }
  }
})

test('a number that a dtype cannot hold is refused, and never wrapped, cut or read as another', (t) => {
  const refused: [DataType, unknown[], RegExp, 'RangeError' | 'TypeError'][] = [
    [
      'int32',
      [1, 1.5],
      /^a int32 tensor of shape \[2\]: expected whole numbers from -2147483648 to 2147483647; found 1.5 at \[1\]$/,
      'RangeError',
    ],
    ['int32', [Number.NaN], /found NaN at \[0\]/, 'RangeError'],
    ['int32', [2 ** 31], /found 2147483648/, 'RangeError'],
    ['int32', [Number.POSITIVE_INFINITY], /found Infinity/, 'RangeError'],
    ['int32', ['1'], /found '1'/, 'TypeError'],
    ['int32', [true], /found true/, 'TypeError'],
    ['int32', [1n], /found 1n/, 'TypeError'],
    ['int32', [null], /found null/, 'TypeError'],
    ['int32', Array(1), /found undefined/, 'TypeError'],
    ['int8', [128], /from -128 to 127; found 128/, 'RangeError'],
    ['uint8', [-1], /from 0 to 255; found -1/, 'RangeError'],
    ['uint8', [0.5], /found 0.5/, 'RangeError'],
    ['int64', [1], /expected bigints .*; found 1 /, 'TypeError'],
    ['int64', [2n ** 63n], /found 9223372036854775808n/, 'RangeError'],
    ['float16', [1.5], /the bits of float16; found 1.5/, 'RangeError'],
    ['bfloat16', [-1], /the bits of bfloat16; found -1/, 'RangeError'],
    ['float32', ['1'], /expected numbers; found '1'/, 'TypeError'],
    ['float32', [1n], /expected numbers; found 1n/, 'TypeError'],
    ['float32', [{}], /expected numbers; found {}/, 'TypeError'],
  ]
  for (const [type, values, message, name] of refused) {
    t.throws(
      () => Tensor.from(type, [values.length], values as number[]),
      { message, name },
      `${type} ${inspect(values)}`,
    )
  }
  t.throws(() => Tensor.from('int32', [2], Float64Array.of(1, 2.5) as never), {
    instanceOf: RangeError,
    message: /found 2.5/,
  })
  t.throws(() => Tensor.from('int32', [1], Uint32Array.of(2 ** 31) as never), { instanceOf: RangeError })
  t.throws(() => Tensor.from('q8_0', [1, 32], Array(34).fill(256)), { message: /the bytes of q8_0; found 256/ })
  for (const values of [undefined, null, 1, 'ab', new Map(), Tensor.zeros('int32', [2]), () => 1]) {
    t.throws(() => Tensor.from('int32', [2], values as never), {
      instanceOf: TypeError,
      message: /expected a list of whole numbers/,
    })
  }
  const transferred = Int32Array.of(1, 2)
  structuredClone(transferred, { transfer: [transferred.buffer] })
  t.throws(() => Tensor.from('int32', [0], transferred), { instanceOf: TypeError, message: /was transferred/ })
  t.deepEqual(
    [...Tensor.from('float32', [4], [0.1, 1e300, Number.NaN, -0]).data],
    [Math.fround(0.1), Number.POSITIVE_INFINITY, Number.NaN, -0],
  )
  t.deepEqual([...Tensor.from('int32', [2], Float64Array.of(1, -2) as never).data], [1, -2])
})

test('what is no dtype, shape, memory, device or row is refused', (t) => {
  for (const dtype of ['float64', 'toString', undefined, 7, null]) {
    t.throws(() => Tensor.zeros(dtype as never, [1]), {
      instanceOf: TypeError,
      message: /a tensor's dtype: expected one of float32, /,
    })
    t.throws(() => Tensor.zeros('int32', [1]).view(dtype as never, [1]), { instanceOf: TypeError })
  }
  for (const shape of [3, '3', null, undefined, {}])
    t.throws(() => Tensor.zeros('int32', shape as never), { instanceOf: TypeError })
  for (const dimension of ['3', true, 1.5, 3n, null]) {
    t.throws(() => Tensor.zeros('int32', [dimension as number]), {
      instanceOf: RangeError,
      message: /a dimension is a whole number/,
    })
  }
  t.throws(() => Tensor.zeros('int32', [1], { memory: 'privat' as never }), {
    message: /expected shared or private, found 'privat'/,
  })
  for (const device of ['gpu', 0, null, 'cuda:', 'cuda:-1', {}]) {
    t.throws(() => Tensor.zeros('int32', [1], { device: device as never }), {
      instanceOf: RangeError,
      message: /a device is cpu, cuda/,
    })
  }
  const tensor = Tensor.zeros('int32', [4, 1])
  for (const [start, end] of [
    [0.5, 2],
    ['0', 2],
    [0, 1.5],
    [0, 5],
    [-1, 1],
    [Number.NaN, 1],
  ]) {
    t.throws(() => tensor.rows(start as number, end as number), { instanceOf: RangeError })
  }
})
