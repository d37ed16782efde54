import test from 'ava'
import { Program } from '../program.js'
import { Tensor } from '../tensor.js'
import { Random } from '../testing/random.js'
import { Trace, type Value } from '../trace.js'
import { compileOnCpu } from './cpu/cpu-backend.js'
import { fuse } from './fuse.js'

function setUp() {
  const trace = new Trace()
  const weight = (rows = 4) => trace.constant(Tensor.zeros('float32', [rows, 4]))
  const x = trace.embedding(trace.input('ids', 1), weight())
  return {
    trace,
    weight,
    x,
    fused: (...kept: Value[]) => fuse(trace.operations, new Set(kept)).map(({ name, numbers }) => [name, numbers]),
  }
}

test('products of one input become one operation, in the order of their outputs', (t) => {
  const { trace, weight, x } = setUp()
  const first = trace.linear(x, weight())
  const moved = trace.rotate(first, weight(1))
  const second = trace.linear(x, weight(), weight(1))
  const operations = fuse(trace.operations, new Set([moved, second]))
  t.deepEqual(
    operations.map(({ name }) => name),
    ['embedding', 'linear', 'rotate'],
  )
  t.deepEqual(operations[1]!.outputs, [first, second])
  t.deepEqual(operations[1]!.numbers, { product0: 0, product1: 1 })
})

test('a gated feed-forward layer and its sum become two operations', (t) => {
  const { trace, weight, x, fused } = setUp()
  const gated = trace.siluMultiply(trace.linear(x, weight()), trace.linear(x, weight()))
  const sum = trace.add(x, trace.linear(gated, weight()))
  t.deepEqual(fused(sum), [
    ['embedding', { start: 0 }],
    ['linear', { product0: 4 }],
    ['linear', { product0: 2 }],
  ])
})

test('a product that something else reads too, or that is kept, is not swallowed by a sum', (t) => {
  const { trace, weight, x, fused } = setUp()
  const product = trace.linear(x, weight())
  const sum = trace.add(x, product)
  t.deepEqual(
    fused(sum, product).map(([name]) => name),
    ['embedding', 'linear', 'add'],
  )
  t.deepEqual(
    fused(trace.add(sum, product)).map(([name]) => name),
    ['embedding', 'linear', 'add', 'add'],
  )
})

/** What the names of the fused operations are when a table is written to between two products that read it. */
function namesAround(write: (trace: Trace, x: Value, table: Tensor) => void, use: 'group' | 'gate' | 'sum'): string[] {
  const trace = new Trace()
  const table = Tensor.zeros('float32', [4, 4])
  const weight = trace.constant(table)
  const x = trace.embedding(trace.input('ids', 1), trace.constant(Tensor.zeros('float32', [4, 4])))
  const first = trace.linear(x, weight)
  const second = use === 'gate' ? trace.linear(x, trace.constant(Tensor.zeros('float32', [4, 4]))) : first
  write(trace, x, table)
  const end =
    use === 'group' ? trace.linear(x, weight) : use === 'gate' ? trace.siluMultiply(first, second) : trace.add(x, first)
  return fuse(trace.operations, new Set([end])).map(({ name }) => name)
}

test('products are not moved past a write to what they read, whatever it is written through', (t) => {
  const scatterInto = (table: (of: Tensor) => Tensor) => (trace: Trace, x: Value, of: Tensor) =>
    trace.scatterRows(x, trace.input('places', 1), trace.constant(table(of)))
  const store = (trace: Trace, x: Value, of: Tensor) =>
    trace.cacheStore(x, trace.input('slots', 1), trace.constant(of), {
      ...{ blockTokens: 1, keyHeads: 1, headSize: 4 },
      stored: 'keys',
    })
  const touching = [
    scatterInto((of) => of),
    scatterInto((of) => of.rows(3, 4)),
    scatterInto((of) => Tensor.open(of.handle!).rows(0, 2)),
    store,
  ]
  for (const write of touching) {
    t.is(namesAround(write, 'group').filter((name) => name === 'linear').length, 2)
    t.true(namesAround(write, 'gate').includes('siluMultiply'))
    t.true(namesAround(write, 'sum').includes('add'))
  }
  const elsewhere = scatterInto(() => Tensor.zeros('float32', [4, 4]))
  t.is(namesAround(elsewhere, 'group').filter((name) => name === 'linear').length, 1)
  t.false(namesAround(elsewhere, 'gate').includes('siluMultiply'))
  t.false(namesAround(elsewhere, 'sum').includes('add'))
})

test('a product stays behind the operation that computes its weight or its bias', (t) => {
  const { trace, weight, x } = setUp()
  const first = trace.linear(x, weight())
  const computed = trace.gatherRows(trace.constant(Tensor.zeros('float32', [4, 4])), trace.input('rows', 4))
  const second = trace.linear(x, computed)
  const third = trace.linear(x, weight(), trace.rmsNorm(first, weight(1), 1))
  const operations = fuse(trace.operations, new Set([first, second, third]))
  const at = (value: Value) => operations.findIndex(({ outputs }) => outputs.includes(value))
  t.true(at(first) < at(computed) && at(computed) < at(second))
  t.true(at(first) < at(third))
})

const PROGRAMS = Number(process.env.TROUPE_FUZZ ?? 300)
const WIDTH = 8

/** A random program over a few tables that its products read and its other operations write to. */
class WritingProgram {
  readonly trace = new Trace()
  readonly tables: Tensor<'float32'>[]
  readonly outputs: Record<string, Value> = {}
  readonly inputs: Record<string, number[]> = {}
  readonly #values: Value[] = []

  constructor(readonly random: Random) {
    this.tables = [1, 2, 3].map(() => {
      const numbers = Array.from({ length: WIDTH * WIDTH }, () => random.number())
      return Tensor.from('float32', [WIDTH, WIDTH], numbers)
    })
    const x = this.trace.input('x', 4, WIDTH, 'float32')
    this.inputs.x = Array.from({ length: 4 * WIDTH }, () => random.number())
    this.#values.push(x)
    for (let step = random.from(4, 20); step > 0; step--) this.#step()
    for (const [i, value] of this.#values.entries()) if (i > 0 && !random.happens(3)) this.outputs[`y${i}`] = value
    this.outputs.last = this.#values.at(-1)!
    if (this.#values.length === 1) this.outputs.last = this.#push(this.trace.add(x, x))
  }

  #push(value: Value): Value {
    this.#values.push(value)
    return value
  }

  /** One of the newest, so that products are used. */
  #value(): Value {
    return this.#values[Math.max(0, this.#values.length - 1 - this.random.below(3))]!
  }

  #table(): Value {
    const table = this.random.pick(this.tables)
    return this.trace.constant(this.random.happens(4) ? Tensor.open(table.handle!) : table)
  }

  #indices(rows: number): Value {
    const name = `i${this.trace.values.length}`
    this.inputs[name] = this.random.shuffled(WIDTH).slice(0, rows)
    return this.trace.input(name, rows)
  }

  #step(): void {
    const { trace, random } = this
    random.pick([
      () => this.#push(trace.linear(this.#values[0]!, this.#table())),
      () => this.#push(trace.linear(this.#value(), this.#table(), random.happens(2) ? this.#bias() : undefined)),
      () => this.#push(trace.linear(this.#value(), trace.gatherRows(this.#table(), this.#indices(WIDTH)))),
      () => this.#push(trace.add(this.#value(), this.#value())),
      () => this.#push(trace.siluMultiply(this.#value(), this.#value())),
      () => trace.scatterRows(this.#value(), this.#indices(4), this.#table()),
      () => this.#store(),
    ])()
  }

  #bias(): Value {
    const row = this.random.below(WIDTH)
    return this.trace.constant(this.random.pick(this.tables).rows(row, row + 1))
  }

  #store(): void {
    const shape = { blockTokens: 1, keyHeads: 1, headSize: WIDTH, stored: 'values' } as const
    this.trace.cacheStore(this.#value(), this.#indices(4), this.#table(), shape)
  }

  /** What two runs leave in the outputs and tables, with operations joined or as they were traced. */
  async results(join: typeof fuse): Promise<number[][]> {
    const traced = { ...this.trace, outputs: this.outputs }
    const program = new Program(compileOnCpu(traced, { threads: 2 }, join), traced)
    for (const [name, values] of Object.entries(this.inputs)) program.inputs[name]!.set(values)
    for (let run = 0; run < 2; run++) await program.run({})
    return [...Object.values(program.outputs).map(({ data }) => [...data]), ...this.tables.map(({ data }) => [...data])]
  }
}

test('random programs that write to what they read give the same joined as one by one', async (t) => {
  let joined = 0
  for (let seed = 1; seed <= PROGRAMS; seed++) {
    const [one, other] = [seed, seed].map((each) => new WritingProgram(new Random(each)))
    let operations = 0
    const found = await one!.results((all, kept) => {
      const result = fuse(all, kept)
      operations = all.length - result.length
      return result
    })
    const expected = await other!.results((all) => [...all])
    if (operations > 0) joined++
    for (const [list, values] of expected.entries()) {
      const at = values.findIndex((value, i) => !isNear(value, found[list]![i]!))
      if (at >= 0) t.fail(`program ${seed}, list ${list}[${at}]: expected ${values[at]}, found ${found[list]![at]}`)
    }
  }
  t.true(joined > PROGRAMS / 4)
})

/** Up to rounding, which sums in another order differ by. */
function isNear(expected: number, found: number): boolean {
  return Object.is(expected, found) || Math.abs(expected - found) <= 1e-3 * (1 + Math.abs(expected))
}
