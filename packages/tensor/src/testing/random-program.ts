import { cacheElements, type DataType, isQuantized } from '../data-type.js'
import type { DeviceName } from '../device.js'
import { PackedWeight } from '../packed-weight.js'
import { Tensor } from '../tensor.js'
import { type RowSymbol, Trace, type Value } from '../trace.js'
import type { Random } from './random.js'

const WEIGHTS = [
  'float32',
  'float16',
  'bfloat16',
  'q8_0',
  'q4_0',
  'q4_1',
  'q5_0',
  'q5_1',
  'q4_k',
  'q5_k',
  'q6_k',
] as const
const CACHES = ['float32', 'float16', 'bfloat16', 'int8'] as const

type Rows = RowSymbol | number
type Symbols = Record<string, number>
/** What a value should hold after a run; undefined where nothing computes it here. */
type Reference = (symbols: Symbols) => number[] | undefined

/** A random program, its inputs, and what the values that it computes should be. */
export class RandomProgram {
  readonly trace = new Trace()
  readonly outputs: Record<string, Value> = {}
  readonly references = new Map<Value, Reference>()
  readonly fills: { name: string; values: number[] }[] = []
  readonly #rows: Rows[]
  readonly #floats: Value[] = []
  /** Whether an index may be out of its bounds, or an operand may not fit. */
  readonly #isWild: boolean

  /** @param device Where what it keeps from run to run lies. */
  constructor(
    readonly random: Random,
    private readonly device: DeviceName = 'cpu',
  ) {
    this.#isWild = random.happens(2)
    this.#rows = [
      this.trace.symbol('a', random.from(0, 7)),
      this.trace.symbol('b', random.from(1, 40)),
      random.from(1, 5),
    ]
    this.#floats.push(this.#floatInput())
    const steps = random.from(1, 10)
    for (let i = 0; i < steps; i++) this.#step()
    for (const [i, value] of this.#floats.entries()) {
      if (!value.tensor && !random.happens(3)) this.outputs[`y${i}`] = value
    }
  }

  symbols(): Symbols {
    const values = Object.fromEntries(
      this.trace.symbols.map(({ name, limit }) => [name, this.random.below(limit + 1)] as const),
    )
    if (this.#isWild && this.random.happens(12)) {
      values.a = this.random.pick([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 40, 8])
    }
    return values
  }

  #count(rows: Rows, symbols: Symbols): number {
    return typeof rows === 'number' ? rows : symbols[rows.name]!
  }

  #limit(rows: Rows): number {
    return typeof rows === 'number' ? rows : rows.limit
  }

  #columns(): number {
    return this.random.pick([1, 2, 3, 8, 20, 32, 64, 256])
  }

  #float(): Value {
    return this.random.pick(this.#floats)
  }

  /** One of the same shape, or, now and then, of any. */
  #like(value: Value): Value {
    if (this.#isWild && this.random.happens(8)) return this.#float()
    const alike = this.#floats.filter(({ rows, columns }) => rows === value.rows && columns === value.columns)
    return this.random.pick(alike)
  }

  #add(value: Value, reference: Reference): Value {
    this.#floats.push(value)
    this.references.set(value, reference)
    return value
  }

  #of(value: Value, symbols: Symbols): number[] | undefined {
    return this.references.get(value)?.(symbols)
  }

  #floatInput(): Value {
    const name = `x${this.trace.values.length}`
    const value = this.trace.input(name, this.random.pick(this.#rows), this.#columns(), 'float32')
    const numbers = Float32Array.from({ length: this.#limit(value.rows) * value.columns }, () => this.random.number())
    this.fills.push({ name, values: [...numbers] })
    return this.#add(value, (symbols) => [...numbers.subarray(0, this.#count(value.rows, symbols) * value.columns)])
  }

  /** An input of indices from `least` to below what `end` says, or, in a wild program, now and then beside that. */
  #indices(rows: Rows, least: number, end: number, columns = 1): { value: Value; numbers: number[] } {
    const name = `i${this.trace.values.length}`
    const value = this.trace.input(name, rows, columns)
    const numbers = Array.from({ length: this.#limit(rows) * columns }, () => {
      if (this.#isWild && this.random.happens(30)) {
        return this.random.pick([-1, least - 1, end, end + 1, 2 ** 31 - 1, -(2 ** 31), 1 << 20])
      }
      return this.random.from(least, Math.max(least, end - 1))
    })
    this.fills.push({ name, values: numbers })
    return { value, numbers }
  }

  /** Weights with random bytes, and what they are where that is plain. */
  /** @param mayBePacked Whether its operation takes packed weights. */
  #weight(
    type: DataType,
    rows: number,
    columns: number,
    mayBePacked = this.#isWild && this.random.happens(12),
  ): { value: Value; numbers?: number[] } {
    const tensor = Tensor.zeros(type, [rows, columns], { memory: this.random.happens(2) ? 'shared' : 'private' })
    if (type === 'float32') {
      const numbers = tensor.data as Float32Array
      for (let i = 0; i < numbers.length; i++) numbers[i] = this.random.number()
      return { value: this.trace.constant(mayBePacked ? this.#perhapsPacked(tensor) : tensor), numbers: [...numbers] }
    }
    const bytes = tensor.bytes
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.random.below(256)
    return { value: this.trace.constant(mayBePacked ? this.#perhapsPacked(tensor) : tensor) }
  }

  #perhapsPacked(tensor: Tensor): Tensor | PackedWeight {
    const { dtype, shape, bytes } = tensor
    if (!PackedWeight.canPack(dtype) || this.random.happens(2)) return tensor
    const packed = new PackedWeight(dtype, [shape[0]!, shape[1]!])
    packed.set(bytes, 0)
    return packed
  }

  #widthFor(type: DataType, columns: number): number {
    const block = isQuantized(type) ? (type.endsWith('_k') ? 256 : 32) : 1
    return Math.ceil(columns / block) * block
  }

  #step(): void {
    const steps = [
      () => this.#floatInput(),
      () => this.#embedding(),
      () => this.#norm(),
      () => this.#linear(),
      () => this.#elementwise(),
      () => this.#rotary(),
      () => this.#gather(),
      () => this.#scatter(),
      () => this.#sample(),
      () => this.#attention(),
    ]
    this.random.pick(steps)()
  }

  #embedding(): void {
    const type = this.random.pick(WEIGHTS)
    const [rows, columns] = [this.random.from(1, 9), this.#widthFor(type, this.#columns())]
    const { value: table, numbers } = this.#weight(type, rows, columns, true)
    const { value: tokens, numbers: ids } = this.#indices(this.random.pick(this.#rows), -3, rows + 3)
    const start = this.random.from(0, 2)
    this.#add(
      this.trace.embedding(tokens, table, start),
      (symbols) =>
        numbers &&
        ids.slice(0, this.#count(tokens.rows, symbols)).flatMap((id) => {
          const isThere = id - start >= 0 && id - start < rows
          return isThere
            ? numbers.slice((id - start) * columns, (id - start + 1) * columns)
            : Array<number>(columns).fill(0)
        }),
    )
  }

  #norm(): void {
    const x = this.#float()
    const fitting = this.random.pick(
      [1, 2, 4].filter((parts) => x.columns % parts === 0).map((parts) => x.columns / parts),
    )
    const { value: weight, numbers } = this.#weight(
      'float32',
      1,
      this.#isWild && this.random.happens(8) ? fitting + 1 : fitting,
    )
    const size = weight.columns
    this.#add(this.trace.rmsNorm(x, weight, 1e-5), (symbols) =>
      this.#of(x, symbols)?.map((value, i, all) => {
        const head = all.slice(i - (i % size), i - (i % size) + size)
        const squares = head.reduce((sum, each) => sum + each * each, 0)
        return (value / Math.sqrt(squares / size + 1e-5)) * numbers![i % size]!
      }),
    )
  }

  #linear(): void {
    const x = this.#float()
    const fitting = WEIGHTS.filter((type) => this.#widthFor(type, x.columns) === x.columns)
    const type = this.random.pick(fitting)
    const outputs = this.random.from(1, 40)
    const { value: weight, numbers } = this.#weight(
      type,
      outputs,
      this.#isWild && this.random.happens(8) ? 32 * 8 : x.columns,
      true,
    )
    const bias = this.random.happens(2) ? this.#weight('float32', 1, outputs) : undefined
    this.#add(this.trace.linear(x, weight, bias?.value), (symbols) => {
      const from = this.#of(x, symbols)
      if (!from || !numbers) return undefined
      return Array.from({ length: this.#count(x.rows, symbols) * outputs }, (_, i) => {
        const [row, output] = [Math.floor(i / outputs), i % outputs]
        let sum = bias ? bias.numbers![output]! : 0
        for (let k = 0; k < x.columns; k++) sum += from[row * x.columns + k]! * numbers[output * x.columns + k]!
        return sum
      })
    })
  }

  #elementwise(): void {
    const a = this.#float()
    const b = this.#like(a)
    const both = (compute: (x: number, y: number) => number): Reference => {
      return (symbols) => {
        const [left, right] = [this.#of(a, symbols), this.#of(b, symbols)]
        return left && right && left.map((value, i) => compute(value, right[i]!))
      }
    }
    if (this.random.happens(2))
      this.#add(
        this.trace.add(a, b),
        both((x, y) => x + y),
      )
    else
      this.#add(
        this.trace.siluMultiply(a, b),
        both((x, y) => (x / (1 + Math.exp(-x))) * y),
      )
  }

  #rotary(): void {
    const x = this.#float()
    const half = Math.max(1, Math.floor(x.columns / this.random.pick([2, 4])))
    const { value: positions, numbers: at } = this.#indices(x.rows, 0, 50)
    const { value: frequencies, numbers: turns } = this.#weight('float32', 1, half)
    const table = this.trace.rotaryTable(positions, frequencies, 1)
    this.#add(this.trace.rotate(x, table), (symbols) => {
      const from = this.#of(x, symbols)
      return from?.map((value, i) => {
        const angle = Math.fround(Math.fround(at[Math.floor(i / x.columns)]!) * turns![i % half]!)
        const isFirst = i % (2 * half) < half
        const other = from[isFirst ? i + half : i - half]!
        return value * Math.cos(angle) + (isFirst ? -other : other) * Math.sin(angle)
      })
    })
  }

  #gather(): void {
    const x = this.#float()
    const most = typeof x.rows === 'number' ? x.rows : this.random.from(1, Math.max(1, x.rows.limit))
    const { value: indices, numbers } = this.#indices(this.random.pick(this.#rows), 0, most)
    this.#add(this.trace.gatherRows(x, indices), (symbols) => {
      const from = this.#of(x, symbols)
      const rows = numbers.slice(0, this.#count(indices.rows, symbols))
      return from && rows.flatMap((row) => from.slice(row * x.columns, (row + 1) * x.columns))
    })
  }

  /** Into a table that nothing else reads but a gather, where every row goes to a place of its own. */
  #scatter(): void {
    const x = this.#float()
    const rows = this.#limit(x.rows) + this.random.from(1, 3)
    const table = this.trace.constant(Tensor.zeros('float32', [rows, x.columns], { device: this.device }))
    const { value: places, numbers } = this.#indices(x.rows, -1, rows)
    this.trace.scatterRows(x, places, table)
    const { value: indices, numbers: wanted } = this.#indices(this.random.pick(this.#rows), 0, rows)
    const written = new Map<number, number>()
    this.#add(this.trace.gatherRows(table, indices), (symbols) => {
      const from = this.#of(x, symbols)
      numbers.slice(0, this.#count(x.rows, symbols)).forEach((place, row) => {
        written.set(place, row)
      })
      const known = wanted.slice(0, this.#count(indices.rows, symbols)).map((row) => written.get(row))
      // Rows that another run has written are what they were then.
      if (!from || written.size > new Set(numbers.slice(0, this.#count(x.rows, symbols))).size) return undefined
      return known.flatMap((row) =>
        row === undefined ? Array<number>(x.columns).fill(0) : from.slice(row * x.columns, (row + 1) * x.columns),
      )
    })
  }

  /** Half of the time with adjustments, some of which refer to what is not there; then tokens are counted, and their logarithms found. */
  #sampled(logits: Value, settings: Value): Value {
    if (this.random.happens(2)) return this.trace.sample(logits, settings)
    const counts = this.trace.constant(Tensor.zeros('int32', [this.random.from(1, 4), logits.columns]))
    const { value: adjustments } = this.#indices(logits.rows, -1, 4, 8)
    const { value: biases } = this.#indices(this.random.pick(this.#rows), -1, logits.columns, 2)
    const { value: masks } = this.#indices(this.random.pick(this.#rows), -1, 2, Math.ceil(logits.columns / 32))
    const tokens = this.trace.sample(logits, settings, { adjustments, biases, counts, masks })
    this.trace.countTokens(tokens, this.#indices(logits.rows, -1, 5).value, counts)
    const { value: wanted } = this.#indices(logits.rows, -1, 30)
    const found = this.trace.logProbs(logits, tokens, wanted, this.random.from(0, 20))
    this.outputs[`logProbs${found.index}`] = found
    return tokens
  }

  #sample(): void {
    const logits = this.#float()
    const { value: settings } = this.#indices(logits.rows, 0, 2, 4)
    const tokens = this.#sampled(logits, settings)
    const table = this.trace.constant(Tensor.zeros('int32', [this.random.from(1, 4), 1], { device: this.device }))
    const found = this.trace.resolve(tokens, table)
    this.outputs[`tokens${found.index}`] = found
    const { value: places } = this.#indices(logits.rows, -1, 1)
    this.trace.scatterRows(found, places, table)
    // Indices that the run computes are checked when they are there.
    if (this.random.happens(2)) this.#floats.push(this.trace.gatherRows(logits, found))
  }

  #attention(): void {
    const query = this.#float()
    const headSize = this.random.pick(
      [1, 2, 4].filter((heads) => query.columns % heads === 0).map((n) => query.columns / n),
    )
    const heads = query.columns / headSize
    const keyHeads = this.random.from(1, heads)
    const shape = { blockTokens: this.random.from(1, 20), keyHeads, headSize }
    const type = this.random.pick(CACHES)
    const blocks = this.random.from(1, 6)
    const elements = keyHeads * shape.blockTokens * cacheElements(type, headSize)
    const [keys, values] = [0, 1].map(() =>
      this.trace.constant(Tensor.zeros(type, [blocks, elements], { device: this.device })),
    )
    const stored = this.#floats.filter(({ columns }) => columns === keyHeads * headSize)
    for (const of of ['keys', 'values'] as const) {
      const x = stored.length > 0 ? this.random.pick(stored) : undefined
      if (!x) continue
      const slots = this.#indices(x.rows, 0, blocks * shape.blockTokens).value
      this.trace.cacheStore(x, slots, of === 'keys' ? keys! : values!, { ...shape, stored: of })
    }
    const [sequences, perSequence] = [this.random.from(1, 3), this.random.from(1, 5)]
    const tokens = perSequence * shape.blockTokens
    const { value: begin, numbers: begins } = this.#indices(query.rows, 0, Math.ceil(tokens / 2))
    const { value: end } = this.#indices(query.rows, Math.max(0, ...begins.filter((at) => at < tokens)), tokens + 1)
    const keyHeadOf = Array.from({ length: heads }, (_, head) => Math.floor((head * keyHeads) / heads))
    if (this.#isWild && this.random.happens(10)) keyHeadOf[0] = this.random.pick([-1, keyHeads, 1 << 30])
    const batch = {
      sequence: this.#indices(query.rows, 0, sequences).value,
      begin,
      end,
      blockTables: this.#indices(sequences, 0, blocks, perSequence).value,
    }
    const heading = this.trace.constant(Tensor.from('int32', [heads], keyHeadOf))
    this.#floats.push(this.trace.attention(query, keys!, values!, batch, heading, { ...shape, scale: 0.5 }))
  }
}
