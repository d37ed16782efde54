import { randomFillSync } from 'node:crypto'
import { type Communicator, type DataType, PackedWeight, type Program, Tensor, Trace, type Value } from '@troupe/tensor'
import { DATA_TYPES, type FormatName } from '../../weights/formats.js'
import { type LoadFormat, quantize } from '../../weights/quantize.js'
import type { LinkSpec, Rate } from '../cluster.js'

/** The sizes of a model that decide which products and which attention are measured. */
export interface MeasuredShape {
  layers: number
  hiddenSize: number
  intermediateSize: number
  heads: number
  keyValueHeads: number
  headSize: number
}

/** Weights, and keys and values, that one run reads: more than caches hold, unless those of the model are fewer. */
const WEIGHT_BYTES = 320 * 2 ** 20
const CACHE_BYTES = 160 * 2 ** 20
const MANY_TOKENS = 256
const CONTEXT = 2048
const BLOCK_TOKENS = 16
const REPEATED_OPERATIONS = 400
const ROUNDS = 3
const LARGE_MESSAGE = 4 * 2 ** 20
const SMALL_MESSAGE = 4096

/** The products of layers of a model's shape with weights of a format, on so many threads. */
export async function measureProducts(format: FormatName, shape: MeasuredShape, threads: number): Promise<Rate> {
  const { hiddenSize, intermediateSize } = shape
  const queries = shape.heads * shape.headSize
  const keys = shape.keyValueHeads * shape.headSize
  const weights = hiddenSize * (2 * queries + 2 * keys + 3 * intermediateSize)
  const made: Tensor[] = []
  let bytes = 0
  const trace = new Trace()
  const product = (x: Value, outputs: number) => {
    const weight = productWeight(format, outputs, x.columns)
    made.push(weight instanceof PackedWeight ? weight.packed : weight)
    bytes += weight.byteLength
    return trace.linear(x, trace.constant(weight))
  }
  const tokens = trace.symbol('tokens', MANY_TOKENS)
  const ones = trace.constant(Tensor.from('float32', [1, hiddenSize], Array(hiddenSize).fill(1), { memory: 'private' }))
  let x = trace.embedding(trace.input('ids', tokens), ones)
  let layers = 0
  for (; layers < shape.layers && bytes < WEIGHT_BYTES; layers++) {
    // Norms keep numbers from becoming so small that the processor takes longer.
    const normed = trace.rmsNorm(x, ones, 1e-5)
    for (let i = 0; i < 2; i++) product(normed, keys)
    const attended = trace.rmsNorm(product(product(normed, queries), hiddenSize), ones, 1e-5)
    product(attended, intermediateSize)
    x = product(product(attended, intermediateSize), hiddenSize)
  }
  const program = trace.compile({ x }, { threads })
  const one = await fastest(program, { tokens: 1 })
  const many = await fastest(program, { tokens: MANY_TOKENS })
  for (const tensor of made) tensor.release()
  return { flops: (2 * MANY_TOKENS * layers * weights) / many, bandwidth: bytes / one }
}

/** Attention of many queries, and of one, over a cache. */
export async function measureAttention(shape: MeasuredShape, threads: number): Promise<Rate> {
  const { heads, keyValueHeads, headSize } = shape
  const blocks = CONTEXT / BLOCK_TOKENS
  const blockFloats = keyValueHeads * BLOCK_TOKENS * headSize
  // So many caches that they are not in the processor's when they are read again.
  const layers = Math.min(shape.layers, Math.ceil(CACHE_BYTES / (2 * 4 * blocks * blockFloats)))
  const trace = new Trace()
  const tokens = trace.symbol('tokens', MANY_TOKENS)
  const batch = {
    sequence: trace.input('sequence', tokens),
    begin: trace.input('begin', tokens),
    end: trace.input('end', tokens),
    blockTables: trace.input('blockTables', 1, blocks),
  }
  const grouped = Array.from({ length: heads }, (_, head) => Math.floor((head * keyValueHeads) / heads))
  const keyHeadOf = trace.constant(Tensor.from('int32', [heads], grouped, { memory: 'private' }))
  let x = trace.embedding(trace.input('ids', tokens), trace.constant(matrix('F32', 1, heads * headSize)))
  for (let layer = 0; layer < layers; layer++) {
    const keys = trace.constant(matrix('F32', blocks, blockFloats))
    const values = trace.constant(matrix('F32', blocks, blockFloats))
    x = trace.attention(x, keys, values, batch, keyHeadOf, {
      ...{ headSize, keyHeads: keyValueHeads, blockTokens: BLOCK_TOKENS },
      scale: 1 / Math.sqrt(headSize),
    })
  }
  const program = trace.compile({ x }, { threads })
  program.inputs.blockTables!.set(Array.from({ length: blocks }, (_, block) => block))
  program.inputs.end!.fill(CONTEXT)
  const one = await fastest(program, { tokens: 1 })
  const many = await fastest(program, { tokens: MANY_TOKENS })
  const bytes = layers * 2 * 4 * blocks * blockFloats
  return { flops: (layers * 4 * heads * headSize * CONTEXT * MANY_TOKENS) / many, bandwidth: bytes / one }
}

/** Seconds of an operation that has next to nothing to do. */
export async function measureOperation(threads: number): Promise<number> {
  const trace = new Trace()
  const weight = trace.constant(matrix('F32', 1, 64))
  let x = trace.embedding(trace.input('ids', 1), weight)
  for (let i = 0; i < REPEATED_OPERATIONS; i++) x = trace.rmsNorm(x, weight, 1e-5)
  return (await fastest(trace.compile({ x }, { threads }), {})) / REPEATED_OPERATIONS
}

/** Measures a link by all-reduces between its two ranks. All ranks call it. */
export async function measureLink(group: Communicator): Promise<LinkSpec> {
  const small = await timeAllReduce(group, SMALL_MESSAGE, 200)
  const large = await timeAllReduce(group, LARGE_MESSAGE, 12)
  const bandwidth = (LARGE_MESSAGE - SMALL_MESSAGE) / Math.max(large - small, 1e-9)
  return { latency: Math.max(small - SMALL_MESSAGE / bandwidth, 1e-7), bandwidth }
}

async function timeAllReduce(group: Communicator, bytes: number, repeats: number): Promise<number> {
  const trace = new Trace()
  let x = trace.constant(Tensor.zeros('float32', [1, bytes / 4]))
  for (let i = 0; i < repeats; i++) x = trace.allReduce(x, group)
  return (await fastest(trace.compile({ x }, { threads: 1 }), {})) / repeats
}

/** Seconds of the fastest of some runs, after one that fills caches. */
async function fastest(program: Program, rows: Record<string, number>): Promise<number> {
  await program.run(rows)
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round++) {
    const began = performance.now()
    await program.run(rows)
    best = Math.min(best, (performance.now() - began) / 1000)
  }
  return best
}

/** A weight as a model's products read it. */
function productWeight(format: FormatName, rows: number, columns: number): Tensor | PackedWeight {
  const type = DATA_TYPES[format]
  if (!PackedWeight.canPack(type)) return matrix(format, rows, columns)
  const weight = new PackedWeight(type, [rows, columns])
  const { ROWS_AT_ONCE } = PackedWeight
  const band = matrix(format, ROWS_AT_ONCE, columns)
  const { bytes } = band
  const rowBytes = bytes.length / ROWS_AT_ONCE
  for (let first = 0; first < rows; first += ROWS_AT_ONCE) {
    weight.set(bytes.subarray(0, rowBytes * Math.min(ROWS_AT_ONCE, rows - first)), first)
  }
  band.release()
  return weight
}

/** Rows of small random numbers in a format; rows repeat, as their values do not matter. */
function matrix(format: FormatName, rows: number, columns: number): Tensor {
  const type = DATA_TYPES[format]
  const tensor = Tensor.zeros(type as DataType, [rows, columns], { memory: 'private' })
  const row = rowOf(format, columns, tensor.byteLength / rows)
  const { bytes } = tensor
  for (let at = 0; at < bytes.length; at += row.length) bytes.set(row, at)
  return tensor
}

function rowOf(format: FormatName, columns: number, bytes: number): Uint8Array {
  if (format === 'Q8_0' || format === 'Q4_0') return quantize(format satisfies LoadFormat, noise(columns))
  if (format === 'F32') return new Uint8Array(noise(columns).buffer)
  const row = randomFillSync(new Uint8Array(bytes))
  // Numbers below one as float16, as bfloat16, and as the scales of quantized blocks; none too small for their types.
  for (let at = 1; at < bytes; at += 2) row[at] = (row[at]! & 0x83) | 0x34
  return row
}

function noise(count: number): Float32Array {
  return Float32Array.from({ length: count }, () => Math.random() - 0.5)
}
