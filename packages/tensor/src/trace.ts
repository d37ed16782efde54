import { checkOperation } from '@troupe/native'
import { broadcastStrides, sizeOf } from './array/shapes.js'
import { TracedArray } from './array/traced-array.js'
import { backendOf } from './backend/backends.js'
import { deviceOf } from './backend/device-of.js'
import type { Communicator } from './communicator.js'
import { type DataType, isQuantized } from './data-type.js'
import { toDevice } from './device.js'
import { PackedWeight } from './packed-weight.js'
import { Program } from './program.js'
import type { Tensor } from './tensor.js'
import type {
  AttentionBatch,
  CacheShape,
  CompileOptions,
  Precision,
  RowSymbol,
  SampleAdjustments,
  SharedAttentionBatch,
  TracedOperation,
  Value,
} from './trace-operands.js'
import { shapeOf } from './value-shape.js'

export * from './trace-operands.js'

const BITS = { float32: 32, bfloat16: 16, int8: 8 } as const

/**
 * Records operations on matrices, to be compiled into a Program. Shapes are written [rows, columns]; a row count may be a
 * symbol. Everything is float32 but for weights, which may be float16, bfloat16 or quantized, and indices, which are int32.
 *
 * A method throws a TypeError for operands that its operation does not take. The indices that an operation is given are
 * checked in every run, before anything is done.
 *
 * @example
 * ```ts
 * const trace = new Trace()
 * const tokens = trace.symbol('tokens', 512)
 * const x = trace.embedding(trace.input('ids', tokens), trace.constant(table))
 * const program = trace.compile({ x }, { threads: 2 })
 * ```
 */
export class Trace {
  readonly symbols: RowSymbol[] = []
  readonly values: Value[] = []
  readonly operations: TracedOperation[] = []
  readonly #constants = new Map<Tensor | PackedWeight, Value>()
  readonly #arrays = new Map<Tensor, Value>()

  /**
   * A row count that every run gives, up to `limit`.
   * @throws RangeError if the limit is no whole number from 0 to 2^31 - 1, and TypeError if the name is taken
   */
  symbol(name: string, limit: number): RowSymbol {
    if (this.symbols.some((symbol) => symbol.name === name)) throw new TypeError(`there is a symbol ${name} already`)
    expectCount(`the limit of symbol ${name}`, limit, 0)
    const symbol = { index: this.symbols.length, name, limit }
    this.symbols.push(symbol)
    return symbol
  }

  /**
   * A matrix that JavaScript fills before each run, of int32 or of float32: see {@link ProgramInput}.
   * @throws RangeError for counts that are none, and TypeError if the name is taken or the symbol is of another trace
   */
  input(name: string, rows: RowSymbol | number, columns = 1, type: 'int32' | 'float32' = 'int32'): Value {
    if (this.values.some((value) => value.input === name)) throw new TypeError(`there is an input ${name} already`)
    if (type !== 'int32' && type !== 'float32') {
      throw new TypeError(`input ${name}: expected int32 or float32, found ${type}`)
    }
    return this.#value({ type, rows, columns, input: name })
  }

  /**
   * A tensor of one or two dimensions: weights, or state that operations update in place. A vector is one row. A packed weight is
   * taken as the weight of linear() and as the table of embedding() by programs of the CPU. Programs of other devices take what
   * operations read from there or from the host, and what they write to from there.
   */
  constant(tensor: Tensor | PackedWeight): Value {
    const value = this.#constants.get(tensor) ?? this.#constant(tensor)
    this.#constants.set(tensor, value)
    return value
  }

  #constant(tensor: Tensor | PackedWeight): Value {
    if (tensor instanceof PackedWeight) {
      const [rows, columns] = tensor.shape
      return this.#value({ type: tensor.dtype, rows, columns, tensor: tensor.packed, isPacked: true })
    }
    const [rows, columns] = tensor.shape.length === 2 ? tensor.shape : [1, tensor.size]
    return this.#value({ type: tensor.dtype, rows: rows!, columns: columns!, tensor })
  }

  /**
   * A tensor of any number of dimensions as an array, which has the methods of tensors: a constant, as {@link constant} takes it.
   * @throws TypeError for a quantized type
   */
  array<T extends DataType>(tensor: Tensor<T>): TracedArray<T> {
    if (isQuantized(tensor.dtype))
      throw new TypeError(`an array has no blocks of ${tensor.dtype}: dequantize them first`)
    const value = this.#arrays.get(tensor) ?? this.#value({ type: tensor.dtype, rows: tensor.size, columns: 1, tensor })
    this.#arrays.set(tensor, value)
    return new TracedArray(this, value, tensor.dtype, tensor.shape)
  }

  /** An array that JavaScript fills before each run: see {@link input}. */
  arrayInput<T extends 'int32' | 'float32' = 'float32'>(
    name: string,
    shape: readonly number[],
    type?: T,
  ): TracedArray<T> {
    const dtype = (type ?? 'float32') as T
    return new TracedArray(this, this.input(name, sizeOf(shape), 1, dtype), dtype, [...shape])
  }

  /**
   * Writes an array's elements to a tensor when a run comes to it, such as weights to what they were and will be in the next run.
   * @throws TypeError for another type, and RangeError for another shape
   */
  assign<T extends DataType>(tensor: Tensor<T>, array: TracedArray<T>): void {
    const target = this.array(tensor)
    if (target.dtype !== array.dtype) throw new TypeError(`assign: expected ${target.dtype}, found ${array.dtype}`)
    broadcastStrides('assign', array.shape, target.shape)
    if (array.value.rows !== target.value.rows) throw new RangeError(`assign: expected as many elements as there are`)
    this.#record('array.assign', [array.value, target.value], [], {}, undefined, target.value)
  }

  /** Records an operation on arrays. @internal */
  compute(name: string, inputs: Value[], type: DataType, elements: number, geometry: readonly number[]): Value {
    const output = this.#value({ type, rows: elements, columns: 1 })
    this.#record(name, inputs, [output], {}, undefined, undefined, geometry)
    return output
  }

  /** [n], [vocabulary, h] → [n, h]: rows by index. `start` is the index of the first row; others give zeros. */
  embedding(tokens: Value, table: Value, start = 0): Value {
    return this.#operation('embedding', [tokens, table], tokens.rows, table.columns, { start })
  }

  /**
   * [n, h], [1, d] → [n, h]: x / sqrt(mean(x²) + epsilon) · weight (arXiv 1910.07467), over each run of d columns: the
   * whole row, or each head of it.
   */
  rmsNorm(x: Value, weight: Value, epsilon: number): Value {
    return this.#operation('rmsNorm', [x, weight], x.rows, x.columns, { epsilon })
  }

  /** [n, in], [out, in], optional [1, out] → [n, out]: x · weightᵀ + bias. */
  linear(x: Value, weight: Value, bias?: Value): Value {
    const inputs = bias ? [x, weight, bias] : [x, weight]
    return this.#operation('linear', inputs, x.rows, fixed(weight.rows), { product0: bias ? 1 : 0 })
  }

  /** a + b, of one shape. */
  add(a: Value, b: Value): Value {
    return this.#operation('add', [a, b], a.rows, a.columns)
  }

  /** silu(gate) · up, of one shape, with silu(x) = x / (1 + e^-x). */
  siluMultiply(gate: Value, up: Value): Value {
    return this.#operation('siluMultiply', [gate, up], gate.rows, gate.columns)
  }

  /** [n], [1, d/2] → [n, d]: cosines, then sines, of position · frequency, times `scale`. */
  rotaryTable(positions: Value, frequencies: Value, scale: number): Value {
    return this.#operation('rotaryTable', [positions, frequencies], positions.rows, frequencies.columns * 2, { scale })
  }

  /** [n, heads · d], [n, d] → [n, heads · d]: turns each head by its row of a rotary table (arXiv 2104.09864). */
  rotate(x: Value, table: Value): Value {
    return this.#operation('rotate', [x, table], x.rows, x.columns)
  }

  /**
   * [n, keyHeads · d], [n] → a cache of blocks · keyHeads · blockTokens · cacheElements(type, d) elements: writes each row at its
   * token slot, from 0 to below blocks · blockTokens, rounded to the type of the cache. Keys and values lie differently in
   * theirs: what is stored must be what attention reads there.
   */
  cacheStore(x: Value, slots: Value, cache: Value, options: CacheShape & { stored: 'keys' | 'values' }): void {
    const { headSize, keyHeads, blockTokens, stored } = options
    const numbers = { headSize, keyHeads, blockTokens, areKeys: stored === 'keys' ? 1 : 0 }
    this.#record('cacheStore', [x, slots, cache], [], numbers, undefined, cache)
  }

  /**
   * [n, heads · d] → [n, heads · d]: softmax attention over the cached tokens that `batch` names; zeros for a query that sees
   * none. `keyHeadOf` [heads], a constant, holds the key/value head of each query head, rising. A query, or a key that it sees,
   * that is NaN or infinite makes the result NaN.
   */
  attention(
    query: Value,
    keys: Value,
    values: Value,
    batch: AttentionBatch,
    keyHeadOf: Value,
    options: CacheShape & { scale: number },
  ): Value {
    const inputs = [query, keys, values, batch.sequence, batch.begin, batch.end, batch.blockTables, keyHeadOf]
    return this.#operation('attention', inputs, query.rows, query.columns, { ...options })
  }

  /**
   * [queries], [queries] → [queries, 2 · ranks]: the tokens that each query sees of those each rank caches, from those it sees
   * on this one: the cached tokens [begin, end) of its sequence. To be gathered once for all attention over the same spans.
   */
  gatherSpans(begin: Value, end: Value, group: Communicator): Value {
    const output = this.#value({ type: 'int32', rows: begin.rows, columns: 2 * group.size })
    this.#record('gatherSpans', [begin, end], [output], {}, group)
    return output
  }

  /**
   * The same as attention(), for this rank's queries and over the tokens that the ranks of a group cache together. Each run
   * chooses how, by what moves the fewest bytes: the ranks gather the queries and send back partial attention, which is
   * joined by log-sum-exp; or keys and values travel a ring (arXiv 2310.01889); or heads are exchanged (arXiv 2309.14509).
   */
  sequenceAttention(
    query: Value,
    keys: Value,
    values: Value,
    batch: SharedAttentionBatch,
    keyHeadOf: Value,
    options: CacheShape & { scale: number },
    group: Communicator,
  ): Value {
    const { own, counts, spans } = batch
    const { sequence, begin, end, blockTables } = own
    const inputs = [query, keys, values, sequence, begin, end, blockTables, keyHeadOf, counts, spans]
    return this.#operation('sequenceAttention', inputs, query.rows, query.columns, { ...options }, group)
  }

  /** [n, c], [m] → [m, c]: rows by index, each below the n of the run. */
  gatherRows(x: Value, indices: Value): Value {
    return this.#operation('gatherRows', [x, indices], indices.rows, x.columns)
  }

  /** [n, c], [n] into a table [rows, c]: row i becomes the table's row `indices[i]`, unless that is negative. */
  scatterRows(x: Value, indices: Value, table: Value): void {
    this.#record('scatterRows', [x, indices, table], [], {}, undefined, table)
  }

  /** [n], [rows, 1] → [n]: indices as they are, but for negative ones, for which -1 - index is looked up in the table. */
  resolve(indices: Value, table: Value): Value {
    return this.#operation('resolve', [indices, table], indices.rows, 1, {}, undefined, 'int32')
  }

  /**
   * logits [n, vocabulary], settings [n, 4] → tokens [n, 1], drawn from the softmax of the logits. Settings are the bits of
   * the float32 temperature (0 takes the likeliest token, below 0 nothing is drawn and the token is -1), topK (draw from
   * this many likeliest; 0 for all), the bits of the float32 topP (draw from the likeliest tokens that together reach this
   * probability; arXiv 1904.09751), and a random uint32. If a logit is NaN or plus infinity, or all are minus infinity, the
   * token is -2.
   * @param adjusted What the logits are changed by first.
   */
  sample(logits: Value, settings: Value, adjusted?: SampleAdjustments): Value {
    if (!adjusted) return this.#operation('sample', [logits, settings], logits.rows, 1, {}, undefined, 'int32')
    const { adjustments, biases, counts, masks } = adjusted
    const inputs = [logits, settings, adjustments, biases, counts, masks]
    return this.#operation('sampleAdjusted', inputs, logits.rows, 1, {}, undefined, 'int32')
  }

  /** [n], [n] into a table of counts [rows, vocabulary]: counts token i in row `rows[i]`, unless either is negative. */
  countTokens(tokens: Value, rows: Value, counts: Value): void {
    this.#record('countTokens', [tokens, rows, counts], [], {}, undefined, counts)
  }

  /**
   * logits [n, vocabulary], tokens [n], wanted [n] → [n, 1 + 2 · most]: the natural logarithm of each token's probability, then
   * the `wanted[i]` likeliest tokens, `most` at most, and theirs: token, logarithm, token, logarithm, … Rows whose `wanted` is
   * negative are left as they are.
   */
  logProbs(logits: Value, tokens: Value, wanted: Value, most: number): Value {
    return this.#operation('logProbs', [logits, tokens, wanted], logits.rows, 1 + 2 * most)
  }

  /**
   * [n, c] → [n, c]: the sum over all ranks of the group, the same on all. With a `precision` other than float32, the ranks
   * send their numbers, and the sums of them, rounded to that, unless they are less than 16 KiB.
   */
  allReduce(x: Value, group: Communicator, precision: Precision = 'float32'): Value {
    return this.#operation('allReduce', [x], x.rows, x.columns, { bits: BITS[precision] }, group)
  }

  /** [n of this rank, c] → [rows, c]: the ranks' rows stacked; `counts` [ranks] holds how many each has. */
  allGatherRows(x: Value, counts: Value, rows: RowSymbol, group: Communicator): Value {
    return this.#operation('allGatherRows', [x, counts], rows, x.columns, {}, group, x.type)
  }

  /** [n, c of this rank] → [n, columns]: the ranks' columns side by side; `widths` [ranks] holds how many each has. */
  allGatherColumns(x: Value, widths: Value, columns: number, group: Communicator): Value {
    return this.#operation('allGatherColumns', [x, widths], x.rows, columns, {}, group)
  }

  /** Sends a matrix to a rank that receives it. */
  send(x: Value, to: number, group: Communicator): void {
    this.#record('send', [x], [], { to }, group)
  }

  /** → [rows, columns]: the matrix that a rank sends. */
  receive(rows: RowSymbol | number, columns: number, from: number, group: Communicator): Value {
    return this.#operation('receive', [], rows, columns, { from }, group)
  }

  /** → int32 [rows, columns]: several messages of a rank, stacked; message i has `counts[i]` rows. */
  receiveParts(counts: Value, rows: RowSymbol, columns: number, from: number, group: Communicator): Value {
    return this.#operation('receiveParts', [counts], rows, columns, { from }, group, 'int32')
  }

  /**
   * The traced operations as a program whose `outputs` can be read after each run.
   * @throws TypeError for outputs that no operation computes, and for constants that the device cannot take
   */
  compile(outputs: Record<string, Value>, options: CompileOptions): Program {
    const computed = new Set(this.operations.flatMap((operation) => operation.outputs))
    for (const [name, value] of Object.entries(outputs)) {
      if (computed.has(value) || this.values.some((known) => known === value && known.input)) continue
      throw new TypeError(`output ${name}: expected what an operation of this trace computes, or an input`)
    }
    const traced = { symbols: this.symbols, values: this.values, operations: this.operations, outputs }
    const device = deviceOf(traced, options.device && toDevice(options.device), (name, on) =>
      backendOf(on).isOfTheHost(name),
    )
    return new Program(backendOf(device).compile(device, traced, options), traced)
  }

  #operation(
    name: string,
    inputs: Value[],
    rows: RowSymbol | number,
    columns: number,
    numbers: Record<string, number> = {},
    group?: Communicator,
    type: DataType = 'float32',
  ): Value {
    const output = this.#value({ type, rows, columns })
    this.#record(name, inputs, [output], numbers, group)
    return output
  }

  #record(
    name: string,
    inputs: Value[],
    outputs: Value[],
    numbers: Record<string, number> = {},
    group?: Communicator,
    written?: Value,
    geometry?: readonly number[],
  ): void {
    for (const value of [...inputs, ...outputs]) {
      if (this.values[value?.index] !== value) throw new TypeError(`${name}: expected values of this trace`)
    }
    const shapes = { inputs: inputs.map(shapeOf), outputs: outputs.map(shapeOf) }
    const symbols = this.symbols.map((symbol) => symbol.name)
    checkOperation({ name, ...shapes, numbers, geometry, ranks: group?.size, rank: group?.rank }, symbols)
    this.operations.push({ name, inputs, outputs, numbers, ...(geometry ? { geometry } : {}), group, written })
  }

  #value(fields: Omit<Value, 'index'>): Value {
    const { rows, columns } = fields
    if (typeof rows === 'number') expectCount('the rows of a matrix', rows, 0)
    else if (this.symbols[rows?.index] !== rows)
      throw new TypeError('expected a number of rows, or a symbol of this trace')
    expectCount('the columns of a matrix', columns, 1)
    const value = { index: this.values.length, ...fields }
    this.values.push(value)
    return value
  }
}

function expectCount(what: string, count: number, least: number): void {
  if (Number.isInteger(count) && count >= least && count < 2 ** 31) return
  throw new RangeError(`${what}: expected a whole number from ${least} to ${2 ** 31 - 1}, found ${count}`)
}

function fixed(rows: RowSymbol | number): number {
  if (typeof rows === 'number') return rows
  throw new TypeError(`expected a matrix with a fixed number of rows; this one has as many as ${rows.name}`)
}
