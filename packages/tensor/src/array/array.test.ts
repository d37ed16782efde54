import { readFileSync } from 'node:fs'
import test from 'ava'
import type { DataType } from '../data-type.js'
import { Tensor } from '../tensor.js'
import { Random } from '../testing/random.js'
import { Trace } from '../trace.js'
import { concat, convolve, pad, stack, where } from './functions.js'
import type { NumberType } from './types.js'

interface Told {
  dtype: NumberType
  shape: number[]
  values: (number | null | string)[]
}
interface Case {
  function: string
  inputs: Told[]
  arguments: unknown[]
  result: Told
}

function numbersOf({ values }: Told): number[] {
  return values.map((value) =>
    value === null ? Number.NaN : value === 'inf' ? Infinity : value === '-inf' ? -Infinity : Number(value),
  )
}

function tensorOf(told: Told): Tensor {
  const numbers = numbersOf(told)
  const { dtype, shape } = told
  if (dtype === 'float16' || dtype === 'bfloat16') return Tensor.from('float32', shape, numbers).astype(dtype)
  if (dtype === 'int64') return Tensor.from(dtype, shape, numbers.map(BigInt))
  return Tensor.from(dtype, shape, numbers)
}

function valuesOf(tensor: Tensor): number[] {
  const { dtype } = tensor
  const readable = dtype === 'float16' || dtype === 'bfloat16' ? tensor.astype('float32') : tensor
  return Array.from(readable.data as ArrayLike<number | bigint>, Number)
}

const TOLERANCES: Partial<Record<DataType, number>> = { float32: 2e-6, float16: 2e-3, bfloat16: 1.6e-2 }

function differsFrom(found: number, expected: number, dtype: DataType): boolean {
  if (Object.is(found, expected) || found === expected) return false
  if (Number.isNaN(found) || Number.isNaN(expected) || !Number.isFinite(expected)) return true
  const tolerance = TOLERANCES[dtype] ?? 0
  return Math.abs(found - expected) > tolerance * Math.max(Math.abs(expected), 0.2)
}

const cases = JSON.parse(readFileSync(new URL('../../cases/numpy.json', import.meta.url), 'utf8')) as Case[]

test('functions of arrays of random types and shapes give what numpy gives', (t) => {
  t.true(cases.length > 300)
  for (const { function: name, inputs, arguments: given, result } of cases) {
    const [self, ...others] = inputs.map(tensorOf)
    const method = (self as unknown as Record<string, (...values: unknown[]) => Tensor>)[name]!
    const found = method.apply(self, [...others, ...given.map((value) => value ?? undefined)])
    const told = `${name} of ${inputs.map(({ dtype, shape }) => `${dtype} [${shape}]`).join(', ')} ${JSON.stringify(given)}`
    t.is(found.dtype, result.dtype, told)
    t.deepEqual(found.shape, result.shape, told)
    const [values, expected] = [valuesOf(found), numbersOf(result)]
    const wrong = values.findIndex((value, i) => differsFrom(value, expected[i]!, result.dtype))
    t.is(wrong, -1, `${told}: element ${wrong}: ${values[wrong]} and not ${expected[wrong]}`)
  }
})

test('a trace of the same functions gives the same bits as tensors do', async (t) => {
  for (const { function: name, inputs, arguments: given } of cases) {
    const tensors = inputs.map(tensorOf)
    const trace = new Trace()
    const call = (all: object[]) => {
      const method = (all[0] as Record<string, (...values: unknown[]) => unknown>)[name]!
      return method.apply(all[0], [...all.slice(1), ...given.map((value) => value ?? undefined)])
    }
    const expected = call(tensors) as Tensor
    const target = Tensor.zeros(expected.dtype, expected.shape)
    trace.assign(target, call(tensors.map((tensor) => trace.array(tensor))) as never)
    await trace.compile({}, { threads: 2 }).run({})
    t.deepEqual(
      target.bytes,
      new Uint8Array(expected.bytes),
      `${name} of ${inputs.map(({ dtype, shape }) => `${dtype} [${shape}]`)}`,
    )
  }
})

/** A tensor [.., .., ..] whose elements tell their places. */
function counting(...shape: number[]): Tensor<'int32'> {
  const size = shape.reduce((a, b) => a * b, 1)
  return Tensor.from(
    'int32',
    shape,
    Array.from({ length: size }, (_, i) => i),
  )
}

test('entries of dimensions are taken, turned around and put together', (t) => {
  const x = counting(3, 4)
  const plain = (tensor: Tensor) => [tensor.shape, valuesOf(tensor)]
  t.deepEqual(plain(x.slice(1)), [[4], [4, 5, 6, 7]])
  t.deepEqual(plain(x.slice(-1, [1, 3])), [[2], [9, 10]])
  t.deepEqual(plain(x.slice(undefined, [undefined, undefined, -2])), [
    [3, 2],
    [3, 1, 7, 5, 11, 9],
  ])
  t.deepEqual(plain(x.slice([5, 9])), [[0, 4], []])
  t.deepEqual(plain(x.flip(0).slice(0)), [[4], [8, 9, 10, 11]])
  t.deepEqual(plain(x.permuteDims([1, 0]).slice(1)), [[3], [1, 5, 9]])
  t.deepEqual(plain(counting(2, 1, 3).matrixTranspose()), [
    [2, 3, 1],
    [0, 1, 2, 3, 4, 5],
  ])
  t.deepEqual(plain(counting(2, 1).broadcastTo([2, 2, 3]).slice(1, 1)), [[3], [1, 1, 1]])
  t.deepEqual(counting(1, 2, 1).squeeze([0, -1]).shape, [2])
  t.deepEqual(counting(2, 3).expandDims([0, -1]).shape, [1, 2, 3, 1])
  const indices = Tensor.from('int32', [2, 2], [2, 0, -1, 1])
  t.deepEqual(plain(x.take(indices, 1).slice(0)), [
    [2, 2],
    [2, 0, 3, 1],
  ])
  const added = Tensor.zeros('float32', [3, 2]).indexAdd(
    Tensor.from('int32', [3], [2, 0, 2]),
    Tensor.from('float32', [3, 2], [1, 2, 3, 4, 5, 6]),
  )
  t.deepEqual([...added.data], [3, 4, 0, 0, 6, 8])
  t.deepEqual(plain(concat([counting(1, 2), counting(2, 2)])), [
    [3, 2],
    [0, 1, 0, 1, 2, 3],
  ])
  t.deepEqual(plain(concat([counting(2, 1), counting(2, 2)], -1)), [
    [2, 3],
    [0, 0, 1, 1, 2, 3],
  ])
  t.deepEqual(plain(stack([counting(2), counting(2)], 1)), [
    [2, 2],
    [0, 0, 1, 1],
  ])
  t.deepEqual(plain(where(x.remainder(2).equal(0), x, x.negative()).slice(0)), [[4], [0, -1, 2, -3]])
  t.deepEqual(plain(pad(counting(1, 2), 1).slice(1)), [[4], [0, 0, 1, 0]])
  t.deepEqual(plain(counting(3, 3).windows([2, 2], { step: 1 }).slice(1, 0)), [
    [2, 2],
    [3, 4, 6, 7],
  ])
})

test('a softmax sums to one, whatever the size of its numbers', (t) => {
  const x = Tensor.from('float32', [2, 3], [1000, 1001, 1002, -5, 0, 5])
  const shares = valuesOf(x.softmax())
  t.true([0, 3].every((at) => Math.abs(shares.slice(at, at + 3).reduce((a, b) => a + b) - 1) < 1e-6))
  t.true(Math.abs(shares[0]! - Math.exp(-2) / (1 + Math.exp(-1) + Math.exp(-2))) < 1e-6)
  const logarithms = valuesOf(x.logSoftmax())
  t.true(logarithms.every((value, i) => Math.abs(value - Math.log(shares[i]!)) < 1e-5))
})

test('a convolution is the sum over each window, with steps, dilation and padding', (t) => {
  const random = new Random(5)
  for (let round = 0; round < 20; round++) {
    const [n, c, h, w, o] = [
      random.from(1, 2),
      random.from(1, 3),
      random.from(3, 9),
      random.from(3, 9),
      random.from(1, 3),
    ]
    const options = { step: random.from(1, 2), dilation: random.from(1, 2), padding: random.from(0, 2) }
    const numbers = (count: number) => Array.from({ length: count }, () => random.from(-4, 4))
    const images = Tensor.from('float32', [n, c, h, w], numbers(n * c * h * w))
    const filters = Tensor.from('float32', [o, c, 2, 2], numbers(o * c * 4))
    const found = convolve(images, filters, options)
    const [, , rows, columns] = found.shape as [number, number, number, number]
    const pixel = (image: number, channel: number, y: number, x: number) =>
      y < 0 || x < 0 || y >= h || x >= w ? 0 : images.data[((image * c + channel) * h + y) * w + x]!
    let at = 0
    for (let image = 0; image < n; image++) {
      for (let output = 0; output < o; output++) {
        for (let y = 0; y < rows; y++) {
          for (let x = 0; x < columns; x++, at++) {
            let sum = 0
            for (let tap = 0; tap < c * 4; tap++) {
              const [channel, dy, dx] = [tap >> 2, (tap >> 1) & 1, tap & 1]
              const top = y * options.step + dy * options.dilation - options.padding
              const left = x * options.step + dx * options.dilation - options.padding
              sum += pixel(image, channel, top, left) * filters.data[output * c * 4 + tap]!
            }
            if (found.data[at] !== sum) return t.fail(`${found.data[at]} and not ${sum} at ${at}`)
          }
        }
      }
    }
  }
  return t.pass()
})

test('what does not go together is refused with what was found', (t) => {
  const [x, ints] = [Tensor.zeros('float32', [2, 3]), Tensor.zeros('int32', [2, 3])]
  const expected: [() => unknown, RegExp, typeof TypeError | typeof RangeError][] = [
    [() => x.add(Tensor.zeros('float32', [4])), /^add: shapes \[2, 3\] and \[4\] do not go together$/, RangeError],
    [() => x.add(ints), /^add: float32 and int32 are not mixed: use astype\('float32'\)/, TypeError],
    [() => ints.add(0.5), /^add: expected a whole number beside an array of int32, found 0.5$/, TypeError],
    [() => ints.divide(2), /divide: operands: expected floats, found integers/, TypeError],
    [() => x.sum(2), /^sum: axis: expected a whole number from -2 to 1, found 2$/, RangeError],
    [() => x.sum([0, -2]), /^sum: axis: expected each dimension once/, RangeError],
    [() => x.matmul(x), /^matmul: shapes \[2, 3\] and \[2, 3\] do not go together$/, RangeError],
    [
      () => Tensor.zeros('float32', [0]).max(),
      /max: operand: expected at least one element to reduce, found none/,
      TypeError,
    ],
    [
      () => x.take(Tensor.from('int32', [1], [2])),
      /take: indices\[0\]: expected an index from -2 to 1, found 2/,
      RangeError,
    ],
    [
      () => concat([x, Tensor.zeros('float32', [2, 4])]),
      /^concat: shapes \[2, 3\] and \[2, 4\] differ elsewhere/,
      RangeError,
    ],
    [() => Tensor.zeros('q8_0', [32]).add(1), /^add: numbers of q8_0 are stored in blocks/, TypeError],
    [() => x.reshape([4]), /cannot see \[2,3\] as \[4\]/, RangeError],
    [() => x.broadcastTo([3, 2]), /broadcastTo: shape \[2, 3\] cannot be broadcast to \[3, 2\]/, RangeError],
  ]
  for (const [call, message, instanceOf] of expected) t.throws(call, { message, instanceOf }, String(call))
})

test('types are promoted among floats and among integers', (t) => {
  const of = (dtype: NumberType) => Tensor.zeros(dtype, [1]) as Tensor
  const pairs: [NumberType, NumberType, NumberType][] = [
    ['float16', 'float32', 'float32'],
    ['float16', 'bfloat16', 'float32'],
    ['int8', 'uint8', 'int32'],
    ['uint8', 'int64', 'int64'],
  ]
  for (const [a, b, result] of pairs) t.is(of(a).add(of(b)).dtype, result)
  t.is(of('float16').add(1).dtype, 'float16')
})

test('a traced training step finds the line that points lie on', async (t) => {
  const xs = Array.from({ length: 32 }, (_, i) => i / 16 - 1)
  const weights = Tensor.zeros('float32', [2])
  const trace = new Trace()
  const [x, y, w] = [trace.arrayInput('x', [32]), trace.arrayInput('y', [32]), trace.array(weights)]
  const features = stack([x, x.multiply(0).add(1)], 1)
  const errors = features.matmul(w).subtract(y)
  const gradient = features
    .matrixTranspose()
    .matmul(errors)
    .multiply(2 / 32)
  trace.assign(weights, w.subtract(gradient.multiply(0.5)))
  const program = trace.compile({ loss: errors.square().mean().value }, { threads: 1 })
  program.inputs.x!.set(xs)
  program.inputs.y!.set(xs.map((each) => 3 * each - 2))
  for (let step = 0; step < 100; step++) await program.run({})
  t.true(program.outputs.loss!.data[0]! < 1e-8)
  t.true(Math.abs(weights.data[0]! - 3) < 1e-3 && Math.abs(weights.data[1]! + 2) < 1e-3)
})
