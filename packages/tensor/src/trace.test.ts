import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import test from 'ava'
import { Communicator } from './communicator.js'
import { Tensor } from './tensor.js'
import { Trace, type Value } from './trace.js'

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

test('a row count that is no whole number in its bounds is refused', (t) => {
  const trace = new Trace()
  const rows = trace.symbol('rows', 2)
  const x = trace.embedding(trace.input('ids', rows), trace.constant(matrix(2, 2, 1)))
  const program = trace.compile({ x }, { threads: 1 })
  for (const count of [3, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, '1' as unknown as number]) {
    t.throws(() => program.run({ rows: count }), { instanceOf: RangeError, message: /rows must be a whole number/ })
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

test('what no operation takes is a TypeError that names the operation, the operand, and what was expected and found', (t) => {
  const trace = new Trace()
  const rows = trace.symbol('rows', 2)
  const x = trace.input('x', rows, 6, 'float32')
  const ints = trace.input('ints', rows, 6)
  const wide = trace.constant(matrix(4, 6, 1))
  const other = new Trace().input('other', 1)
  const keyHeadOf = trace.constant(Tensor.from('int32', [2], [0, 1]))
  const one = trace.input('one', rows)
  const batch = { sequence: one, begin: one, end: one, blockTables: trace.input('tables', 1, 2) }
  const shape = { blockTokens: 2, keyHeads: 2, headSize: 3 }
  const cache = trace.constant(Tensor.zeros('float32', [2, 12]))
  const attend = (change: object) =>
    trace.attention(x, cache, cache, batch, keyHeadOf, { ...shape, scale: 1, ...change })
  const refused: [() => unknown, RegExp][] = [
    [() => trace.add(x, ints), /^add: the second operand: expected float32, found int32 \[rows, 6\]$/],
    [() => trace.add(x, wide), /^add: the second operand: expected as many rows as the first operand/],
    [() => trace.rmsNorm(x, trace.constant(matrix(1, 4, 1)), 1e-5), /^rmsNorm: x: expected columns in multiples/],
    [() => trace.rmsNorm(x, trace.constant(matrix(1, 6, 1)), Number.NaN), /^rmsNorm: epsilon: expected a number/],
    [() => trace.embedding(x, wide), /^embedding: tokens: expected int32/],
    [() => trace.embedding(one, wide, 0.5), /^embedding: start: expected a whole number/],
    [() => trace.gatherRows(x, ints), /^gatherRows: indices: expected 1 columns/],
    [() => trace.scatterRows(x, one, cache), /^scatterRows: table: expected 6 columns/],
    [() => trace.resolve(one, cache), /^resolve: table: expected int32/],
    [() => trace.sample(x, one), /^sample: settings: expected 4 columns/],
    [
      () => trace.rotate(x, trace.input('odd', rows, 3, 'float32')),
      /^rotate: table: expected columns in multiples of two/,
    ],
    [
      () => trace.cacheStore(x, one, cache, { ...shape, keyHeads: 1, stored: 'keys' }),
      /^cacheStore: x: expected 3 columns/,
    ],
    [
      () => trace.cacheStore(x, one, cache, { ...shape, blockTokens: 5, stored: 'values' }),
      /^cacheStore: cache: expected whole blocks of 120/,
    ],
    [() => attend({ keyHeads: 0 }), /^attention: keyHeads: expected a number from 1/],
    [() => attend({ headSize: 4 }), /^attention: query: expected columns in multiples of headSize, 4/],
    [() => attend({ scale: Number.NaN }), /^attention: scale/],
    [() => trace.add(x, other), /expected values of this trace/],
    [() => trace.add(x, trace.constant(Tensor.zeros('int64', [6]))), /expected float32, found int64 \[1, 6\]/],
    [() => trace.array(Tensor.zeros('q8_0', [32])), /an array has no blocks of q8_0/],
    [() => trace.input('x', 1), /there is an input x already/],
    [() => trace.compile({ wide }, { threads: 1 }), /^output wide: expected what an operation/],
  ]
  for (const [call, message] of refused) t.throws(call, { instanceOf: TypeError, message })
  const y = attend({ scale: 1 })
  const far = trace.constant(Tensor.from('int32', [2], [0, 2]))
  const beyond = trace.attention(x, cache, cache, batch, far, { ...shape, scale: 1 })
  t.throws(() => trace.compile({ y, beyond }, { threads: 1 }), {
    instanceOf: TypeError,
    message: 'attention: keyHeadOf[1]: expected an index from 0 to 1, found 2',
  })
})

test('an index outside of its bounds is refused before anything is done, and the next run goes well', async (t) => {
  const trace = new Trace()
  const rows = trace.symbol('rows', 3)
  const x = trace.input('x', rows, 4, 'float32')
  const table = Tensor.zeros('float32', [2, 4])
  trace.scatterRows(x, trace.input('places', rows), trace.constant(table))
  const cache = Tensor.zeros('float32', [2, 8])
  const shape = { blockTokens: 2, keyHeads: 1, headSize: 4 }
  const [keys, keyHeadOf] = [trace.constant(cache), trace.constant(Tensor.from('int32', [1], [0]))]
  trace.cacheStore(x, trace.input('slots', rows), keys, { ...shape, stored: 'keys' })
  const [sequence, begin, end] = ['sequence', 'begin', 'end'].map((name) => trace.input(name, rows)) as [
    Value,
    Value,
    Value,
  ]
  const batch = { sequence, begin, end, blockTables: trace.input('tables', 2, 2) }
  const attended = trace.attention(x, keys, keys, batch, keyHeadOf, { ...shape, scale: 1 })
  const y = trace.gatherRows(attended, trace.input('picks', rows))
  const program = trace.compile({ y }, { threads: 2 })
  program.inputs.x!.fill(1)
  program.inputs.tables!.set([1, 0, -7, 99]) // blocks of tokens that nobody sees may be anything
  const good = { places: [0, -1], slots: [0, 3], sequence: [0, 0], begin: [0, 1], end: [0, 3], picks: [1, 0] }
  const run = (inputs: Partial<Record<keyof typeof good, number[]>>) => {
    for (const [name, values] of Object.entries({ ...good, ...inputs })) program.inputs[name]!.set(values)
    return program.run({ rows: 2 })
  }
  const bad: [Partial<Record<keyof typeof good, number[]>>, RegExp][] = [
    [{ places: [0, 2] }, /scatterRows: indices\[1\]: expected an index from -2147483648 to 1, found 2/],
    [{ slots: [-1, 0] }, /cacheStore: slots\[0\]: expected an index from 0 to 3, found -1/],
    [{ slots: [0, 4] }, /cacheStore: slots\[1\]/],
    [{ sequence: [0, 2] }, /attention: sequence\[1\]: expected an index from 0 to 1, found 2/],
    [{ begin: [-1, 0] }, /attention: begin\[0\]/],
    [{ begin: [0, 4] }, /attention: end\[1\]: expected the begin, 4, or more, found 3/],
    [{ end: [0, 5] }, /attention: end\[1\]: expected at most the 4 tokens/],
    [{ sequence: [0, 1], begin: [0, 0] }, /attention: blockTables\[2\]: expected an index from 0 to 1, found -7/],
    [{ picks: [0, 2] }, /gatherRows: indices\[1\]: expected an index from 0 to 1, found 2/],
  ]
  for (const [inputs, message] of bad) {
    await t.throwsAsync(run(inputs), { instanceOf: RangeError, message })
    t.true([...table.data, ...cache.data].every((value) => value === 0))
  }
  await run({})
  t.deepEqual([...table.data], [1, 1, 1, 1, 0, 0, 0, 0])
  t.true([...program.outputs.y!.data.subarray(4, 8)].every((value) => value === 0))
})

test('blocks that no query sees are not read, whether few queries come or many', async (t) => {
  const trace = new Trace()
  const rows = trace.symbol('rows', 6)
  const shape = { blockTokens: 2, keyHeads: 1, headSize: 4 }
  const [keys, values] = [0, 1].map(() => trace.constant(matrix(2, 8, 1)))
  const [sequence, begin, end] = ['sequence', 'begin', 'end'].map((name) => trace.input(name, rows))
  const batch = { sequence: sequence!, begin: begin!, end: end!, blockTables: trace.input('tables', 1, 4) }
  const keyHeadOf = trace.constant(Tensor.from('int32', [1], [0]))
  const query = trace.input('x', rows, 4, 'float32')
  const y = trace.attention(query, keys!, values!, batch, keyHeadOf, { ...shape, scale: 1 })
  const program = trace.compile({ y }, { threads: 1 })
  program.inputs.tables!.set([1 << 30, 0, -(1 << 30), 1])
  program.inputs.begin!.set([2, 7, 2, 6, 3, 7])
  program.inputs.end!.set([4, 8, 3, 8, 4, 8])
  program.inputs.x!.fill(0)
  const results: number[][] = []
  for (const count of [1, 2, 6]) {
    await program.run({ rows: count })
    results.push([...program.outputs.y!.data.subarray(0, 4)])
  }
  t.deepEqual(results[1], results[0])
  t.deepEqual(results[2], results[0])
  t.true(results[0]!.every(Number.isFinite))
})

test('a run that one rank refuses leaves its group: the other waits for the run that follows', async (t) => {
  const groups = [0, 1].map((rank) => new Communicator({ rank, size: 2, name: 'pair', node: 'a', token: 'secret' }))
  const programs = groups.map((group) => {
    const trace = new Trace()
    const picked = trace.gatherRows(trace.constant(matrix(2, 2, 1)), trace.input('pick', 1))
    return trace.compile({ sum: trace.allReduce(picked, group) }, { threads: 1 })
  })
  await t.throwsAsync(programs[0]!.run({}), { message: /group 'pair' was not connected/ })
  await Promise.all(groups.map((group) => group.connect(groups.map(({ address }) => address))))
  programs[0]!.inputs.pick!.set([2])
  const waiting = programs[1]!.run({})
  await t.throwsAsync(programs[0]!.run({}), { instanceOf: RangeError, message: /gatherRows: indices\[0\]/ })
  programs[0]!.inputs.pick!.set([1])
  await Promise.all([waiting, programs[0]!.run({})])
  t.deepEqual([...programs[0]!.outputs.sum!.data], [...programs[1]!.outputs.sum!.data])
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

test('a profile tells of each operation its columns, its time, and the bytes of what it reads and writes', async (t) => {
  const trace = new Trace()
  const tokens = trace.symbol('tokens', 4)
  const x = trace.embedding(trace.input('ids', tokens), trace.constant(Tensor.zeros('float32', [100, 32])))
  const y = trace.linear(x, trace.constant(Tensor.zeros('float32', [16, 32])))
  const program = trace.compile({ y }, { threads: 1 })
  program.inputs.ids!.set([7, 99])
  for (let run = 0; run < 3; run++) await program.run({ tokens: 2 })
  const found = program.profile()
  t.true(found.every(({ milliseconds }) => milliseconds > 0))
  t.deepEqual(
    found.map(({ milliseconds, ...others }) => others),
    [
      // Two rows of the table are read and two written; 2 rows of 32, a weight of 16 by 32, and 2 rows of 16.
      { operation: 'embedding', columnsIn: 1, columnsOut: 32, bytes: 3 * 4 * (64 + 64) },
      { operation: 'linear', columnsIn: 32, columnsOut: 16, bytes: 3 * 4 * (64 + 512 + 32) },
    ],
  )
})

test('an index outside of the table is refused', async (t) => {
  const trace = new Trace()
  const table = trace.constant(Tensor.zeros('int32', [3, 1]))
  const found = trace.resolve(trace.input('ids', 1), table)
  const program = trace.compile({ found }, { threads: 1 })
  program.inputs.ids!.set([-4])
  await t.throwsAsync(program.run({}), {
    instanceOf: RangeError,
    message: /resolve: indices\[0\]: expected an index of at least -3, found -4/,
  })
})
