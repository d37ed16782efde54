import { compute, Storage } from '@troupe/native'
import test from 'ava'
import { Random } from '../testing/random.js'

/** How many operations; nightly many more, under AddressSanitizer. */
const OPERATIONS = 30 * Number(process.env.TROUPE_FUZZ ?? 300)

const NAMES = ['add', 'copy', 'where', 'sum', 'max', 'argmin', 'matmul', 'take', 'indexAdd', 'concat', 'assign', 'none']
const TYPES = ['float32', 'float16', 'int32', 'int64', 'uint8', 'bool'] as const

/** A shape and a way through it, now and then of numbers that fit nothing. */
function geometryOf(random: Random, name: string, inputs: number): number[] {
  const number = () => (random.happens(25) ? random.pick([-1, 2 ** 31, 2 ** 53, -(2 ** 40), 17]) : random.from(0, 3))
  const numbers = (count: number) => Array.from({ length: count }, number)
  const rank = random.happens(20) ? random.from(-1, 30) : random.from(0, 3)
  const way = () => [random.from(0, 2), ...numbers(Math.max(0, rank))]
  switch (name) {
    case 'sum':
    case 'max':
    case 'argmin': {
      const [kept, reduced] = [random.from(0, 2), random.from(0, 2)]
      return [kept, ...numbers(kept), reduced, ...numbers(reduced), 0, ...numbers(kept + reduced)]
    }
    case 'matmul':
      return [...numbers(3), rank, ...numbers(Math.max(0, rank)), ...way(), ...way()]
    case 'take':
    case 'indexAdd':
      return numbers(3)
    case 'concat':
      return numbers(1 + inputs)
    default:
      return [rank, ...numbers(Math.max(0, rank)), ...Array.from({ length: inputs }, way).flat()]
  }
}

test('operations whose sizes and strides fit nothing are refused, and never leave their operands', (t) => {
  const counts = { computed: 0, refused: 0 }
  for (let seed = 1; seed <= OPERATIONS; seed++) {
    const random = new Random(seed)
    const name = random.pick(NAMES)
    const type = random.pick(TYPES)
    const inputs = random.happens(10)
      ? random.from(0, 4)
      : name === 'where' || name === 'indexAdd'
        ? 3
        : name === 'copy'
          ? 1
          : 2
    const operand = (dtype: (typeof TYPES)[number]) => {
      const elements = random.from(0, 27)
      return { type: dtype, elements, offset: 0, storage: new Storage(Math.max(1, elements * 8), false) }
    }
    const typeOf = (i: number) =>
      i === 1 && /take|indexAdd/.test(name) ? 'int32' : i === 0 && name === 'where' ? 'bool' : type
    const geometry = geometryOf(random, name, inputs)
    const operands = Array.from({ length: inputs }, (_, i) =>
      operand(random.happens(30) ? random.pick(TYPES) : typeOf(i)),
    )
    // Mostly as many results as there are, so that some operations are done.
    const result = operand(random.happens(30) ? random.pick(TYPES) : name === 'argmin' ? 'int32' : type)
    const [rank = 0] = geometry
    const sizes = geometry.slice(1, 1 + Math.max(0, rank))
    const count = sizes.reduce((a, b) => a * b, 1)
    if (/add|copy|where|sum|max|argmin/.test(name) && count >= 0 && count <= 27) result.elements = count
    try {
      compute(`array.${name}`, geometry, operands, result)
      counts.computed++
    } catch (error) {
      if (!(error instanceof TypeError || error instanceof RangeError)) throw error
      counts.refused++
    }
  }
  t.log(counts)
  t.true(counts.computed > OPERATIONS / 20 && counts.refused > OPERATIONS / 4)
})
