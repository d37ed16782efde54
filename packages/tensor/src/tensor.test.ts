import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import test from 'ava'
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
  const released = Tensor.zeros('float32', [2])
  released.release()
  t.regex(inspect(released), /^Tensor\(float32 \[2\]/)
})
