import test from 'ava'
import { Communicator } from '../../communicator.js'
import { CACHE_TYPES, type CacheType, cacheElements, type DataType } from '../../data-type.js'
import type { Device } from '../../device.js'
import { Tensor } from '../../tensor.js'
import { Random } from '../../testing/random.js'
import { tryProgram } from '../../testing/try-program.js'
import { Trace } from '../../trace.js'
import { openDevice } from '../open-device.js'
import { Gpu, gpuOf, WebGpuError } from './gpu.js'
import { GpuExecutable } from './gpu-executable.js'
import { GpuMemory } from './memory.js'

/** How many programs; each has shaders of its own to compile. */
const PROGRAMS = Number(process.env.TROUPE_GPU_FUZZ ?? 40)

const WEIGHTS: DataType[] = [
  ...(['float32', 'float16', 'bfloat16', 'q8_0', 'q4_0', 'q4_1'] as const),
  ...(['q5_0', 'q5_1', 'q4_k', 'q5_k', 'q6_k'] as const),
]

test.before('a device is opened by its name', async (t) => {
  t.is(await openDevice('webgpu'), 'webgpu:0')
})

test.serial('random programs give what a plain reference gives, or an error', async (t) => {
  const counts = { computed: 0, refused: 0 }
  for (let seed = 1; seed <= PROGRAMS; seed++) counts[await tryProgram(t, seed, 'webgpu')]++
  t.log(counts)
  t.true(counts.computed > PROGRAMS / 10 && counts.refused > PROGRAMS / 10)
})

/** A weight of random blocks, with scales that are numbers, and what its rows are. */
async function randomWeight(random: Random, type: DataType, rows: number, columns: number) {
  const numbers = Float32Array.from({ length: rows * columns }, () => random.number())
  const tensor = Tensor.zeros(type, [rows, columns])
  if (type === 'float32') tensor.bytes.set(new Uint8Array(numbers.buffer))
  else if (type === 'float16' || type === 'bfloat16') {
    tensor.bytes.set(new Uint8Array(Tensor.from('float32', [rows, columns], numbers).astype(type).bytes))
  } else {
    // Exponents of halves below those of infinities, wherever a block has its scales.
    for (let i = 0; i < tensor.bytes.length; i++) tensor.bytes[i] = random.below(256) & (i % 2 === 1 ? 0x3f : 0xff)
  }
  const trace = new Trace()
  const decoded = trace.compile(
    { y: trace.embedding(trace.input('ids', rows), trace.constant(tensor)) },
    { threads: 1 },
  )
  decoded.inputs.ids!.set(Array.from({ length: rows }, (_, i) => i))
  await decoded.run({})
  return { tensor, rows: decoded.outputs.y!.data.slice() }
}

for (const type of WEIGHTS) {
  test.serial(`products and rows of ${type} are those of float64, of no row, of few and of many`, async (t) => {
    const random = new Random(7)
    const isBlocks = type.startsWith('q')
    for (const [outputs, inputs] of [
      [1, 256],
      [37, 512],
      [66, isBlocks ? 256 : 77],
    ] as const) {
      const weight = await randomWeight(random, type, outputs, inputs)
      const bias = Tensor.from(
        'float32',
        [outputs],
        Array.from({ length: outputs }, () => random.number()),
      )
      const trace = new Trace()
      const rows = trace.symbol('rows', 70)
      const w = trace.constant(weight.tensor)
      const x = trace.input('x', rows, inputs, 'float32')
      const y = trace.linear(x, w, trace.constant(bias))
      const found = trace.embedding(trace.input('ids', 3), w)
      const program = trace.compile({ y, found }, { threads: 1, device: 'webgpu' })
      const values = Float32Array.from({ length: 70 * inputs }, () => random.number())
      program.inputs.x!.set(values)
      program.inputs.ids!.set([outputs - 1, 0, -1])
      for (const count of [0, 1, 3, 8, 9, 33, 70]) {
        program.outputs.y!.data.fill(Number.NaN)
        await program.run({ rows: count })
        const { data } = program.outputs.y!
        t.true(Number.isNaN(data[count * outputs] ?? Number.NaN), 'rows that a run does not have are left alone')
        for (let i = 0; i < count * outputs; i++) {
          const [row, column] = [Math.floor(i / outputs), i % outputs]
          let sum = bias.data[column]!
          let size = Math.abs(sum)
          for (let k = 0; k < inputs; k++) {
            const product = values[row * inputs + k]! * weight.rows[column * inputs + k]!
            sum += product
            size += Math.abs(product)
          }
          if (!(Math.abs(data[i]! - sum) <= 2e-6 * size))
            return t.fail(`[${row}, ${column}] of ${count}: ${data[i]} and not ${sum}`)
        }
      }
      const expected = [
        ...weight.rows.slice((outputs - 1) * inputs),
        ...weight.rows.slice(0, inputs),
        ...new Array(inputs).fill(0),
      ]
      t.true(
        program.outputs.found!.data.every(
          (value, i) => Math.abs(value - expected[i]!) <= 1e-6 * Math.abs(expected[i]!),
        ),
      )
    }
    return t.pass()
  })
}

/** A program that stores keys and values and attends over them. */
function attentionOn(device: Device, type: CacheType) {
  const [blocks, blockTokens, keyHeads, headSize, heads] = [9, 5, 2, 20, 6]
  const trace = new Trace()
  const [stored, queries] = [trace.symbol('stored', 45), trace.symbol('queries', 40)]
  const shape = { blockTokens, keyHeads, headSize }
  const cache = () =>
    trace.constant(Tensor.zeros(type, [blocks, keyHeads * blockTokens * cacheElements(type, headSize)], { device }))
  const [keys, values, slots] = [cache(), cache(), trace.input('slots', stored)]
  const width = keyHeads * headSize
  trace.cacheStore(trace.input('keys', stored, width, 'float32'), slots, keys, { ...shape, stored: 'keys' })
  trace.cacheStore(trace.input('values', stored, width, 'float32'), slots, values, { ...shape, stored: 'values' })
  const batch = {
    sequence: trace.input('sequence', queries),
    begin: trace.input('begin', queries),
    end: trace.input('end', queries),
    blockTables: trace.input('blockTables', 2, 4),
  }
  const keyHeadOf = trace.constant(Tensor.from('int32', [heads], [0, 0, 0, 0, 1, 1]))
  const query = trace.input('query', queries, heads * headSize, 'float32')
  const y = trace.attention(query, keys, values, batch, keyHeadOf, { ...shape, scale: 0.2 })
  return trace.compile({ y }, { threads: 2, device })
}

for (const type of CACHE_TYPES) {
  test.serial(`attention over a cache of ${type} is that of the CPU, whatever queries see`, async (t) => {
    const random = new Random(11)
    const programs = [attentionOn('cpu', type), attentionOn('webgpu:0', type)] as const
    const numbers = (count: number) => Array.from({ length: count }, () => Math.fround(random.number()))
    for (const [stored, queries] of [
      [45, 40],
      [3, 1],
      [0, 7],
      [20, 0],
    ] as const) {
      const slots = Array.from({ length: 45 }, (_, i) => i).sort(() => random.number())
      const begin = Array.from({ length: queries }, () => random.below(12))
      const inputs: Record<string, number[]> = {
        ...{ slots: slots.slice(0, stored), keys: numbers(stored * 40), values: numbers(stored * 40) },
        sequence: begin.map(() => random.below(2)),
        begin,
        end: begin.map((first) => (random.happens(8) ? first : random.from(first, 20))),
        blockTables: Array.from({ length: 8 }, () => random.below(9)),
        query: numbers(queries * 120),
      }
      for (const program of programs) {
        for (const [name, values] of Object.entries(inputs)) program.inputs[name]!.set(values)
        program.outputs.y!.data.fill(Number.NaN)
        await program.run({ stored, queries })
      }
      const [expected, found] = programs.map((program) => program.outputs.y!.data.subarray(0, queries * 120)) as [
        Float32Array,
        Float32Array,
      ]
      const allowed = type === 'int8' ? 2e-3 : 2e-5
      const wrong = found.findIndex((value, i) => !(Math.abs(value - expected[i]!) <= allowed))
      t.is(wrong, -1, `${queries} queries: element ${wrong}: ${found[wrong]} and not ${expected[wrong]}`)
    }
    // A query that is no number makes its own result none.
    const [, program] = programs
    program.inputs.query!.set([Number.NaN])
    program.inputs.begin!.set([0, 0])
    program.inputs.end!.set([1, 1])
    await program.run({ stored: 0, queries: 2 })
    t.true(Number.isNaN(program.outputs.y!.data[0]) && !Number.isNaN(program.outputs.y!.data[120]))
  })
}

test.serial('tensors are copied both ways and on the device, wherever their bytes begin', async (t) => {
  const random = new Random(3)
  const host = Tensor.from(
    'uint8',
    [61],
    Array.from({ length: 61 }, () => random.below(256)),
  )
  const device = await host.to('webgpu')
  t.is(device.device, 'webgpu:0')
  t.deepEqual([...(await device.to('cpu')).data], [...host.data])
  await device.rows(7, 18).copyFrom(host.rows(40, 51))
  const expected = [...host.data]
  expected.splice(7, 11, ...expected.slice(40, 51))
  t.deepEqual([...(await device.to('cpu')).data], expected)
  const other = Tensor.zeros('uint8', [61], { device: 'webgpu' })
  await other.rows(8, 16).copyFrom(device.rows(20, 28))
  t.deepEqual(
    [...(await other.to('cpu')).data],
    [...new Array(8).fill(0), ...expected.slice(20, 28), ...new Array(45).fill(0)],
  )
  t.throws(() => device.data, { message: /cannot be read or written in place; copy it/ })
})

test.serial('what the device cannot take is one error that says what to do, and the next run goes well', async (t) => {
  const trace = new Trace()
  const indices = trace.input('indices', trace.symbol('n', 4))
  const y = trace.gatherRows(trace.input('x', 3, 2, 'float32'), indices)
  const program = trace.compile({ y }, { threads: 1, device: 'webgpu' })
  program.inputs.x!.set([1, 2, 3, 4, 5, 6])
  program.inputs.indices!.set([1, 3])
  await t.throwsAsync(program.run({ n: 2 }), {
    instanceOf: RangeError,
    message: /gatherRows: indices\[1\]: expected an index from 0 to 2, found 3/,
  })
  program.inputs.indices!.set([2, 0])
  await program.run({ n: 2 })
  t.deepEqual([...program.outputs.y!.data.subarray(0, 4)], [5, 6, 1, 2])
  t.throws(() => Tensor.zeros('uint8', [2 ** 40], { device: 'webgpu' }), {
    message: /takes at most \d+ bytes in one piece/,
  })
  t.throws(() => Tensor.zeros('uint8', [1], { device: 'webgpu:7' }), {
    message: /webgpu:7 is not open: await openDevice/,
  })
  await t.throwsAsync(openDevice('webgpu:7'), { message: /webgpu:7: expected webgpu:0/ })
  const kept = new Trace()
  const ones = kept.input('x', 1, 1, 'float32')
  kept.scatterRows(ones, kept.input('i', 1), kept.constant(Tensor.zeros('float32', [2, 1])))
  t.throws(() => kept.compile({}, { threads: 1, device: 'webgpu' }), {
    message: /scatterRows writes to a tensor on the host: make it with Tensor.zeros/,
  })
  const gpu = gpuOf('webgpu:0')
  gpu.pipelineOf('fn broken( {', 1)
  await t.throwsAsync(gpu.settle(), {
    instanceOf: WebGpuError,
    message: /webgpu:0 \(.*\): .*(parsing WGSL|does not compile)/,
  })
})

test.serial('a device that is lost fails what it is asked for, and nothing else', async (t) => {
  // Another device than the others of this file use.
  const gpu = await Gpu.open('webgpu:0')
  const memory = new GpuMemory(gpu, 16)
  gpu.device.destroy()
  await gpu.device.lost
  t.throws(() => gpu.allocate(16, 'a tensor'), {
    instanceOf: WebGpuError,
    message: /webgpu:0 \(.*\) was lost: .*start the process/,
  })
  t.throws(() => memory.buffer, { message: /cannot be read or written in place/ })
  const other = await Tensor.from('float32', [1], [5]).to('webgpu')
  t.deepEqual([...(await other.to('cpu')).data], [5])
})

test.serial('a rank whose device is lost ends the others that wait for it, with its reason', async (t) => {
  const groups = [0, 1].map((rank) => new Communicator({ rank, size: 2, name: 'pair', node: 'a', token: 'secret' }))
  await Promise.all(groups.map((group) => group.connect(groups.map(({ address }) => address))))
  const [onHost, onDevice] = groups.map((group) => {
    const trace = new Trace()
    const x = trace.input('x', 1, 2, 'float32')
    return { trace, sum: trace.allReduce(trace.add(x, x), group) }
  })
  const waiting = onHost!.trace.compile({ sum: onHost!.sum }, { threads: 1 }).run({})
  const gpu = await Gpu.open('webgpu:0')
  const { symbols, values, operations } = onDevice!.trace
  const executable = new GpuExecutable(
    gpu,
    { symbols, values, operations, outputs: { sum: onDevice!.sum } },
    { threads: 1 },
  )
  gpu.device.destroy()
  await gpu.device.lost
  await t.throwsAsync(executable.run([]), { instanceOf: WebGpuError, message: /was lost/ })
  await t.throwsAsync(waiting, { message: /rank 1.*webgpu:0 .*was lost/s })
})
