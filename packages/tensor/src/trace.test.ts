import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import test from 'ava'
import { Communicator } from './communicator.js'
import { Tensor } from './tensor.js'
import { Trace } from './trace.js'

const near = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  a.length === b.length && Array.from(a).every((value, i) => Math.abs(value - b[i]!) < 1e-4)

function matrix(rows: number, columns: number, seed: number): Tensor<'float32'> {
  const values = Array.from({ length: rows * columns }, (_, i) => Math.sin(i * 12.9898 + seed))
  return Tensor.from('float32', [rows, columns], values)
}

test('a program computes for as many rows as each run says', async (t) => {
  const trace = new Trace()
  const tokens = trace.symbol('tokens', 4)
  const table = matrix(10, 6, 1)
  const weight = matrix(3, 6, 2)
  const x = trace.embedding(trace.input('ids', tokens), trace.constant(table))
  const program = trace.compile({ y: trace.linear(x, trace.constant(weight)) }, { threads: 2 })
  for (const ids of [[7], [1, 9, 4, 0], [], [3, 3]]) {
    program.inputs.ids!.set(ids)
    await program.run({ tokens: ids.length })
    const expected = ids.flatMap((id) =>
      [0, 1, 2].map((o) => {
        let sum = 0
        for (let k = 0; k < 6; k++) sum += table.data[id * 6 + k]! * weight.data[o * 6 + k]!
        return sum
      }),
    )
    t.true(near(program.outputs.y!.data.subarray(0, expected.length), expected))
  }
})

/** Rows of Q8_0 blocks with a scale of 1: each number is its own integer. */
function q8(rows: number, columns: number, value: (row: number, column: number) => number): Tensor<'q8_0'> {
  const tensor = Tensor.zeros('q8_0', [rows, columns])
  const blocks = new DataView(tensor.bytes.buffer, tensor.bytes.byteOffset, tensor.byteLength)
  for (let i = 0; i < rows * columns; i++) {
    const block = Math.floor(i / 32) * 34
    blocks.setUint16(block, 0x3c00, true)
    blocks.setInt8(block + 2 + (i % 32), value(Math.floor(i / columns), i % columns))
  }
  return tensor
}

test('embeddings and products read quantized rows, for few tokens and many', async (t) => {
  const trace = new Trace()
  const tokens = trace.symbol('tokens', 40)
  const table = q8(8, 64, (row, column) => (column === 0 || column === 32 ? 127 : row * 7 - column))
  const weight = q8(20, 64, (row, column) => ((row * 31 + column * 17) % 255) - 127)
  const x = trace.embedding(trace.input('ids', tokens), trace.constant(table))
  const program = trace.compile({ x, y: trace.linear(x, trace.constant(weight)) }, { threads: 2 })
  for (const count of [1, 3, 40]) {
    program.inputs.ids!.set(Array.from({ length: count }, (_, i) => i % 8))
    await program.run({ tokens: count })
    const rows = Array.from({ length: count }, (_, i) => program.outputs.x!.data.subarray(i * 64, (i + 1) * 64))
    t.deepEqual([...rows[0]!.subarray(0, 3)], [127, -1, -2])
    const expected = rows.flatMap((row) =>
      Array.from({ length: 20 }, (_, o) => row.reduce((sum, v, k) => sum + v * (((o * 31 + k * 17) % 255) - 127), 0)),
    )
    t.deepEqual([...program.outputs.y!.data.subarray(0, count * 20)], expected)
  }
})

test('a gated layer with biases and a residual computes what its parts do', async (t) => {
  const [up, down, gateBias] = [matrix(50, 12, 1), matrix(12, 50, 2), matrix(1, 50, 3)]
  const build = (fused: boolean) => {
    const trace = new Trace()
    const tokens = trace.symbol('tokens', 30)
    const x = trace.embedding(trace.input('ids', tokens), trace.constant(matrix(9, 12, 4)))
    const gate = trace.linear(x, trace.constant(up), trace.constant(gateBias))
    const other = trace.linear(x, trace.constant(up))
    const product = trace.linear(trace.siluMultiply(gate, other), trace.constant(down))
    const y = trace.add(x, product)
    // Keeping the parts keeps them apart.
    return trace.compile(fused ? { y } : { y, gate, other, product }, { threads: 2 })
  }
  const [fused, apart] = [build(true), build(false)]
  for (const tokens of [1, 30]) {
    for (const program of [fused, apart]) {
      program.inputs.ids!.set(Array.from({ length: tokens }, (_, i) => i % 9))
      await program.run({ tokens })
    }
    const [a, b] = [fused, apart].map((program) => program.outputs.y!.data.subarray(0, tokens * 12))
    t.true(near(a!, b!))
  }
})

test('memory is reused without a value being overwritten while it is still needed', async (t) => {
  // A chain in which early values are read again late, mixed with operations that may work in place.
  const trace = new Trace()
  const rows = trace.symbol('rows', 3)
  const table = matrix(3, 16, 3)
  const first = trace.embedding(trace.input('ids', rows), trace.constant(table))
  let x = first
  const plain = (f: (value: number, start: number) => number) => table.data.map((start) => f(start, start))
  let expected = plain((v) => v)
  const kept = [first]
  const keptExpected = [expected]
  for (let i = 0; i < 12; i++) {
    const other = kept[(i * 5) % kept.length]!
    const otherExpected = keptExpected[(i * 5) % kept.length]!
    x = trace.add(x, other)
    expected = expected.map((value, j) => value + otherExpected[j]!)
    if (i % 3 === 0) {
      kept.push(x)
      keptExpected.push(expected)
    }
  }
  const program = trace.compile({ x, first }, { threads: 1 })
  program.inputs.ids!.set([0, 1, 2])
  for (let run = 0; run < 2; run++) {
    await program.run({ rows: 3 })
    t.true(near(program.outputs.x!.data, Array.from(expected)))
    t.deepEqual([...program.outputs.first!.data], [...table.data])
  }
})

test('a run with too many rows, or without one of its symbols, is refused', async (t) => {
  const trace = new Trace()
  const rows = trace.symbol('rows', 2)
  const x = trace.embedding(trace.input('ids', rows), trace.constant(matrix(2, 2, 1)))
  const program = trace.compile({ x }, { threads: 1 })
  t.throws(() => program.run({ rows: 3 }), { instanceOf: RangeError, message: /between 0 and 2; found 3/ })
  t.throws(() => program.run({}), { instanceOf: RangeError })
})

test('operands that do not fit are refused when they are traced', (t) => {
  const trace = new Trace()
  const x = trace.embedding(trace.input('ids', 1), trace.constant(matrix(2, 4, 1)))
  t.throws(() => trace.linear(x, trace.constant(matrix(3, 5, 1))), {
    instanceOf: TypeError,
    message: 'linear: weight: expected 4 columns, found float32 [3, 5]',
  })
})

test('programs of several ranks meet in their collectives, and one that is cancelled ends the others with its reason', async (t) => {
  const groups = [0, 1].map((rank) => new Communicator({ rank, size: 2, name: 'pair', node: 'a', token: 'secret' }))
  await Promise.all(groups.map((group) => group.connect(groups.map(({ address }) => address))))
  const programs = groups.map((group, rank) => {
    const trace = new Trace()
    const x = trace.embedding(trace.input('ids', 1), trace.constant(Tensor.from('float32', [1, 2], [rank + 1, 10])))
    return trace.compile({ sum: trace.allReduce(x, group) }, { threads: 1 })
  })
  await Promise.all(programs.map((program) => program.run({})))
  for (const program of programs) t.deepEqual([...program.outputs.sum!.data], [3, 20])

  const waiting = programs[0]!.run({})
  programs[1]!.cancel('rank 1 was told to stop')
  await t.throwsAsync(waiting, { message: /rank 1.*told to stop/ })
  await t.throwsAsync(programs[0]!.run({}), undefined, 'the group stays unusable')
})

test('a program that is collected as garbage leaves its groups to those who still use them', async (t) => {
  setFlagsFromString('--expose-gc')
  const collectGarbage: () => void = runInNewContext('gc')
  const groups = [0, 1].map((rank) => new Communicator({ rank, size: 2, name: 'pair', node: 'a', token: 'secret' }))
  await Promise.all(groups.map((group) => group.connect(groups.map(({ address }) => address))))
  const held: unknown[] = []
  const collected = new Promise<void>((resolve) => {
    const registry = new FinalizationRegistry(() => resolve())
    const sum = (group: Communicator) => {
      const trace = new Trace()
      const program = trace.compile({ sum: trace.allReduce(trace.constant(matrix(1, 4, 1)), group) }, { threads: 1 })
      if (group === groups[0]) registry.register(program, undefined)
      return program.run({})
    }
    held.push(registry)
    void Promise.all(groups.map(sum))
  })
  let isCollected = false
  void collected.then(() => {
    isCollected = true
  })
  for (let i = 0; i < 100 && !isCollected; i++) {
    collectGarbage()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  t.true(isCollected)
  collectGarbage() // what the program held goes after it
  await new Promise((resolve) => setImmediate(resolve))
  const ones = [0, 1].map(() => Tensor.from('float32', [1], [1]))
  await Promise.all(groups.map((group, rank) => group.allReduce(ones[rank]!)))
  t.deepEqual([...ones[0]!.data], [2])
})

test('rows go into a table by index, and negative indices are looked up in it', async (t) => {
  const trace = new Trace()
  const rows = trace.symbol('rows', 4)
  const table = Tensor.zeros('int32', [3, 1])
  trace.scatterRows(trace.input('values', rows), trace.input('places', rows), trace.constant(table))
  const found = trace.resolve(trace.input('ids', rows), trace.constant(table))
  const program = trace.compile({ found }, { threads: 1 })
  const run = async (values: number[], places: number[], ids: number[]) => {
    program.inputs.values!.set(values)
    program.inputs.places!.set(places)
    program.inputs.ids!.set(ids)
    await program.run({ rows: ids.length })
    const { data } = program.outputs.found!
    return [...new Int32Array(data.buffer, data.byteOffset, ids.length)]
  }
  t.deepEqual(await run([70, 80, 90], [2, -1, 0], [5, -1, -3]), [5, 90, 70])
  t.deepEqual(await run([1, 2], [1, 1], [-2, -3]), [2, 70], 'the table outlives a run')
  const { busy, waiting, transfer } = program.statistics
  t.true(busy > 0)
  t.deepEqual([waiting, transfer], [0, 0])
})

test('an index outside of the table is refused', async (t) => {
  const trace = new Trace()
  const table = trace.constant(Tensor.zeros('int32', [3, 1]))
  const found = trace.resolve(trace.input('ids', 1), table)
  const program = trace.compile({ found }, { threads: 1 })
  program.inputs.ids![0] = -4
  await t.throwsAsync(program.run({}), { message: /resolve: indices\[0\]: expected an index of at least -3, found -4/ })
})
