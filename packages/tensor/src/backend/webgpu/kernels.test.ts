import test, { type ExecutionContext } from 'ava'
import { CACHE_TYPES, type CacheType, cacheElements, type DataType, numberOf } from '../../data-type.js'
import { Tensor } from '../../tensor.js'
import { Random } from '../../testing/random.js'
import { Trace, type Value } from '../../trace.js'
import { openDevice } from '../open-device.js'

/** Rows of a run, and the limit of their symbol: none, few, and more than a tile has; for products, on both sides of where they change. */
const ROWS = [0, 1, 7, 8, 9, 33, 70]
const LIMIT = 71

type Rows = ReturnType<Trace['symbol']>
/** What a kernel should give, row by row. */
type Expected = (count: number) => number[]

test.before('a device is opened by its name', async () => {
  await openDevice('webgpu')
})

/** A program of one kernel, its float inputs and indices, and what it should give. */
interface Made {
  outputs: Record<string, Value>
  floats: Record<string, number[]>
  indices: Record<string, number[]>
  expected: Record<string, Expected>
}

/**
 * Runs a program with every count of rows, each after a run in which every float was NaN, so that whatever it does not write anew shows.
 * Numbers may differ by `tolerance` of one, or of themselves.
 */
async function holds(t: ExecutionContext, tolerance: number, make: (trace: Trace, rows: Rows) => Made): Promise<void> {
  const trace = new Trace()
  const rows = trace.symbol('rows', LIMIT)
  const { outputs, floats, indices, expected } = make(trace, rows)
  const program = trace.compile(outputs, { threads: 1, device: 'webgpu' })
  for (const [name, numbers] of Object.entries(indices)) program.inputs[name]!.set(numbers)
  for (const count of ROWS) {
    for (const [name, numbers] of Object.entries(floats)) program.inputs[name]!.set(numbers.map(() => Number.NaN))
    await program.run({ rows: LIMIT })
    for (const [name, numbers] of Object.entries(floats)) program.inputs[name]!.set(numbers)
    for (const { data } of Object.values(program.outputs)) data.fill(Number.NaN)
    await program.run({ rows: count })
    for (const [name, { data }] of Object.entries(program.outputs)) {
      const wanted = expected[name]!(count)
      const at = wanted.findIndex((number, i) => !isNear(data[i]!, number, tolerance))
      t.is(at, -1, `${name}[${at}] of ${count} rows: expected ${wanted[at]}, found ${data[at]}`)
      t.true(data.subarray(wanted.length).every(Number.isNaN), `${name} of ${count} rows: more was written`)
    }
  }
}

function isNear(found: number, wanted: number, tolerance: number): boolean {
  if (Number.isNaN(wanted)) return Number.isNaN(found)
  return found === wanted || Math.abs(found - wanted) <= tolerance * (1 + Math.abs(wanted))
}

/** So many numbers in [-1, 1], as float32 has them. */
function numbers(random: Random, count: number): number[] {
  return Array.from({ length: count }, () => Math.fround(random.number()))
}

function below(random: Random, count: number, least: number, end: number): number[] {
  return Array.from({ length: count }, () => random.from(least, end - 1))
}

/** A constant of a type, by random bits of numbers that are finite, and what it holds. */
function weights(trace: Trace, random: Random, type: DataType, rows: number, columns: number) {
  const tensor = Tensor.zeros(type as 'float16', [rows, columns])
  const held = tensor.data as Uint16Array | Float32Array
  for (let i = 0; i < held.length; i++) {
    // Every fifth of float16 is below what it has as normal numbers.
    const subnormal = type === 'float16' && i % 5 === 0 ? random.below(1024) | (random.below(2) << 15) : undefined
    const bits = { float16: random.from(0x2c00, 0x3c00), bfloat16: random.from(0xbd00, 0xbf80) }[type as 'float16']
    held[i] = subnormal ?? bits ?? random.number()
  }
  return { value: trace.constant(tensor), numbers: [...held].map((bits) => Number(numberOf(type, bits))) }
}

for (const type of ['float32', 'float16', 'bfloat16'] as const) {
  for (const [inputs, outputs] of [
    [1, 1],
    [16, 32],
    [33, 31],
    [100, 67],
  ] as const) {
    const hasBias = outputs !== 32
    test(`linear: ${inputs} to ${outputs}, ${type}${hasBias ? ', with a bias' : ''}`, async (t) => {
      const random = new Random(inputs * outputs)
      await holds(t, 1e-5, (trace, rows) => {
        const x = numbers(random, LIMIT * inputs)
        const weight = weights(trace, random, type, outputs, inputs)
        const bias = hasBias ? weights(trace, random, 'float32', 1, outputs) : undefined
        const product: Expected = (count) =>
          Array.from({ length: count * outputs }, (_, i) => {
            const [row, output] = [Math.floor(i / outputs), i % outputs]
            let sum = bias?.numbers[output] ?? 0
            for (let k = 0; k < inputs; k++) sum += x[row * inputs + k]! * weight.numbers[output * inputs + k]!
            return sum
          })
        return {
          outputs: { y: trace.linear(trace.input('x', rows, inputs, 'float32'), weight.value, bias?.value) },
          floats: { x },
          indices: {},
          expected: { y: product },
        }
      })
    })
  }

  test(`embedding: rows of a table of ${type} from its first token on, zeros for others`, async (t) => {
    const random = new Random(3)
    for (const columns of [1, 15, 33]) {
      await holds(t, 0, (trace, rows) => {
        const table = weights(trace, random, type, 6, columns)
        const ids = below(random, LIMIT, -2, 12)
        return {
          outputs: { y: trace.embedding(trace.input('ids', rows), table.value, 3) },
          floats: {},
          indices: { ids },
          expected: {
            y: (count) =>
              ids
                .slice(0, count)
                .flatMap((id) =>
                  id >= 3 && id < 9
                    ? table.numbers.slice((id - 3) * columns, (id - 2) * columns)
                    : Array<number>(columns).fill(0),
                ),
          },
        }
      })
    }
  })
}

test('rmsNorm: whole rows, and each head of them', async (t) => {
  const random = new Random(4)
  for (const [size, heads] of [
    [1, 1],
    [5, 3],
    [64, 1],
    [130, 2],
  ] as const) {
    await holds(t, 1e-5, (trace, rows) => {
      const x = numbers(random, LIMIT * size * heads)
      const weight = weights(trace, random, 'float32', 1, size)
      return {
        outputs: { y: trace.rmsNorm(trace.input('x', rows, size * heads, 'float32'), weight.value, 1e-6) },
        floats: { x },
        indices: {},
        expected: {
          y: (count) =>
            x.slice(0, count * size * heads).map((number, i) => {
              const head = x.slice(i - (i % size), i - (i % size) + size)
              const mean = head.reduce((sum, each) => sum + each * each, 0) / size
              return (number / Math.sqrt(mean + 1e-6)) * weight.numbers[i % size]!
            }),
        },
      }
    })
  }
})

test('add and siluMultiply: element by element, of large numbers too', async (t) => {
  const random = new Random(5)
  for (const columns of [1, 31, 64]) {
    await holds(t, 1e-5, (trace, rows) => {
      const [a, b] = [numbers(random, LIMIT * columns).map((x) => x * 200), numbers(random, LIMIT * columns)]
      const [left, right] = ['a', 'b'].map((name) => trace.input(name, rows, columns, 'float32'))
      const pairs = (count: number, compute: (x: number, y: number) => number) =>
        a.slice(0, count * columns).map((x, i) => compute(Math.fround(x), b[i]!))
      return {
        outputs: {
          sum: trace.add(left!, right!),
          product: trace.siluMultiply(left!, right!),
          twice: trace.add(left!, left!),
        },
        floats: { a, b },
        indices: {},
        expected: {
          sum: (count) => pairs(count, (x, y) => x + y),
          product: (count) => pairs(count, (x, y) => (x / (1 + Math.exp(-x))) * y),
          twice: (count) => pairs(count, (x) => x + x),
        },
      }
    })
  }
})

test('rotate: by tables of positions that are far in a text', async (t) => {
  const random = new Random(6)
  for (const [half, heads] of [
    [1, 1],
    [3, 5],
    [32, 2],
  ] as const) {
    await holds(t, 1e-4, (trace, rows) => {
      const columns = 2 * half * heads
      const x = numbers(random, LIMIT * columns)
      const positions = below(random, LIMIT, 0, 100_000)
      const turns = weights(trace, random, 'float32', 1, half)
      const table = trace.rotaryTable(trace.input('positions', rows), turns.value, 1.5)
      return {
        outputs: { y: trace.rotate(trace.input('x', rows, columns, 'float32'), table) },
        floats: { x },
        indices: { positions },
        expected: {
          y: (count) =>
            x.slice(0, count * columns).map((number, i) => {
              const angle = Math.fround(positions[Math.floor(i / columns)]! * turns.numbers[i % half]!)
              const isFirst = i % (2 * half) < half
              const other = isFirst ? -x[i + half]! : x[i - half]!
              return 1.5 * (number * Math.cos(angle) + other * Math.sin(angle))
            }),
        },
      }
    })
  }
})

test('gatherRows and scatterRows: by index, negative ones not at all, the last of equal ones', async (t) => {
  const random = new Random(7)
  for (const columns of [1, 3, 65]) {
    await holds(t, 0, (trace, rows) => {
      const x = numbers(random, LIMIT * columns)
      const places = below(random, LIMIT, -2, 20)
      const table = trace.constant(Tensor.zeros('float32', [20, columns], { device: 'webgpu' }))
      trace.scatterRows(trace.input('x', rows, columns, 'float32'), trace.input('places', rows), table)
      const wanted = below(random, 9, 0, 20)
      return {
        outputs: { y: trace.gatherRows(table, trace.input('wanted', 9)) },
        floats: { x },
        indices: { places, wanted },
        expected: {
          // Rows that a run leaves have what the run of NaN before it wrote to them, if that did.
          y: (count) =>
            wanted.flatMap((row) => {
              const last = places.slice(0, count).lastIndexOf(row)
              const other = places.includes(row) ? Number.NaN : 0
              return last < 0 ? Array<number>(columns).fill(other) : x.slice(last * columns, (last + 1) * columns)
            }),
        },
      }
    })
  }
})

/** How far a number that a cache keeps may be from what was stored, of the largest in its row. */
const ROUNDING: Record<CacheType, number> = { float32: 1e-5, float16: 2e-3, bfloat16: 1e-2, int8: 2e-2 }

for (const type of CACHE_TYPES) {
  for (const [headSize, heads, keyHeads, blockTokens] of [
    [1, 1, 1, 1],
    [5, 3, 1, 3],
    [64, 4, 2, 16],
    [80, 2, 2, 7],
  ] as const) {
    test(`attention over a cache of ${type}: ${heads} heads of ${headSize} by ${keyHeads}, blocks of ${blockTokens}`, async (t) => {
      const random = new Random(headSize + heads)
      await holds(t, ROUNDING[type], (trace, rows) => {
        // A token of each of two sequences by turns, whose blocks lie in some order.
        const blocksEach = Math.ceil(LIMIT / 2 / blockTokens) + 1
        const tables = random.shuffled(2 * blocksEach)
        const shape = { headSize, keyHeads, blockTokens }
        const cache = () =>
          trace.constant(
            Tensor.zeros(type, [2 * blocksEach, keyHeads * blockTokens * cacheElements(type, headSize)], {
              device: 'webgpu',
            }),
          )
        const [keys, values] = [cache(), cache()]
        const all = Array.from({ length: LIMIT }, (_, i) => i)
        const slots = all.map((i) => {
          const token = i >> 1
          return tables[(i & 1) * blocksEach + Math.floor(token / blockTokens)]! * blockTokens + (token % blockTokens)
        })
        const [q, k, v] = [heads, keyHeads, keyHeads].map((n) => numbers(random, LIMIT * n * headSize))
        const [query, key, value] = (['q', 'k', 'v'] as const).map((name, i) =>
          trace.input(name, rows, (i === 0 ? heads : keyHeads) * headSize, 'float32'),
        )
        const slot = trace.input('slots', rows)
        trace.cacheStore(key!, slot, keys, { ...shape, stored: 'keys' })
        trace.cacheStore(value!, slot, values, { ...shape, stored: 'values' })
        const [sequence, end] = [all.map((i) => i & 1), all.map((i) => (i >> 1) + 1)]
        // Every fourth query sees nothing, others all from some token on.
        const begin = end.map((last, i) => (i % 4 === 3 ? last : random.below(last)))
        const keyHeadOf = Array.from({ length: heads }, (_, head) => Math.floor((head * keyHeads) / heads))
        const batch = {
          sequence: trace.input('sequence', rows),
          begin: trace.input('begin', rows),
          end: trace.input('end', rows),
          blockTables: trace.input('tables', 2, blocksEach),
        }
        const scale = 1 / Math.sqrt(headSize)
        const heading = trace.constant(Tensor.from('int32', [heads], keyHeadOf))
        const of = (from: number[], token: number, owner: number, n: number, head: number) =>
          from.slice(((token * 2 + owner) * n + head) * headSize, ((token * 2 + owner) * n + head + 1) * headSize)
        const attended = (i: number, head: number) => {
          const own = of(q!, i >> 1, i & 1, heads, head)
          const seen = all.slice(begin[i]!, end[i]!)
          const scores = seen.map((token) => {
            const other = of(k!, token, i & 1, keyHeads, keyHeadOf[head]!)
            return scale * own.reduce((sum, number, at) => sum + number * other[at]!, 0)
          })
          const powers = scores.map((score) => Math.exp(score - Math.max(...scores)))
          const total = powers.reduce((a, b) => a + b, 0)
          const rowsOfValues = seen.map((token) => of(v!, token, i & 1, keyHeads, keyHeadOf[head]!))
          return own.map((_, at) => powers.reduce((sum, power, s) => sum + (power / total) * rowsOfValues[s]![at]!, 0))
        }
        return {
          outputs: { y: trace.attention(query!, keys, values, batch, heading, { ...shape, scale }) },
          floats: { q: q!, k: k!, v: v! },
          indices: { slots, sequence, begin, end, tables },
          expected: {
            y: (count) =>
              all.slice(0, count).flatMap((i) => Array.from({ length: heads }, (_, head) => attended(i, head)).flat()),
          },
        }
      })
    })
  }

  test(`attention over a cache of ${type}: a key or a query that is no finite number makes the result NaN`, async (t) => {
    const [headSize, tokens] = [3, 70]
    const trace = new Trace()
    const shape = { headSize, keyHeads: 1, blockTokens: 4 }
    const cache = () =>
      trace.constant(Tensor.zeros(type, [18, 4 * cacheElements(type, headSize)], { device: 'webgpu' }))
    const [keys, values] = [cache(), cache()]
    const x = trace.input('x', tokens, headSize, 'float32')
    trace.cacheStore(x, trace.input('slots', tokens), keys, { ...shape, stored: 'keys' })
    trace.cacheStore(trace.input('v', tokens, headSize, 'float32'), trace.input('slots2', tokens), values, {
      ...shape,
      stored: 'values',
    })
    const batch = {
      sequence: trace.input('sequence', 1),
      begin: trace.input('begin', 1),
      end: trace.input('end', 1),
      blockTables: trace.input('tables', 1, 18),
    }
    const y = trace.attention(
      trace.input('q', 1, headSize, 'float32'),
      keys,
      values,
      batch,
      trace.constant(Tensor.from('int32', [1], [0])),
      { ...shape, scale: 1 },
    )
    const program = trace.compile({ y }, { threads: 1, device: 'webgpu' })
    const all = Array.from({ length: tokens }, (_, i) => i)
    program.inputs.slots!.set(all)
    program.inputs.slots2!.set(all)
    program.inputs.tables!.set(all.slice(0, 18))
    program.inputs.end!.set([tokens])
    program.inputs.v!.set(Array(tokens * headSize).fill(1))
    for (const wrong of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      for (const at of [0, 5, 69 * headSize]) {
        const finite = Array<number>(tokens * headSize).fill(0.5)
        program.inputs.q!.set([1, 1, 1])
        program.inputs.x!.set(finite.with(at, wrong))
        await program.run({})
        t.true(program.outputs.y!.data.every(Number.isNaN), `key ${at} is ${wrong}: found ${program.outputs.y!.data}`)
        program.inputs.q!.set([1, wrong, 1])
        program.inputs.x!.set(finite)
        await program.run({})
        t.true(program.outputs.y!.data.every(Number.isNaN), `a query has ${wrong}: found ${program.outputs.y!.data}`)
      }
    }
  })
}
