import { InvalidInputError } from '@troupe/core'
import { type DeviceName, PackedWeight, Tensor } from '@troupe/tensor'
import { length, type Range } from '../parallel/plan.js'
import type { Checkpoint, StoredTensor } from './checkpoint.js'
import { dequantize } from './dequantize.js'
import { bytesOf, DATA_TYPES, FORMATS, type FormatName, isQuantized, unsoundBlock } from './formats.js'
import { type LoadFormat, quantize } from './quantize.js'
import { type VocabularyTensors, vocabularyTensors } from './vocabulary-tensors.js'

/** The part of a matrix that a rank needs; a range left out means all of it. */
export interface Slice {
  rows?: Range
  columns?: Range
}

/** A matrix as programs read it. */
export type Weight = Tensor | PackedWeight

/** A slice of a stored matrix, and the format that it is loaded in. */
interface Part {
  key: string
  name: string
  stored: StoredTensor
  format: FormatName
  rows: Range
  columns: Range
}

/**
 * Loads slices of a checkpoint's tensors, each once. Weights of products are packed while they are read, by native threads: they
 * are what they should be after ready(). Of others, whole rows in their stored order are used in place in the mapped file; other
 * slices are copied out of it, and only their own pages are read.
 */
export class Weights {
  /** Bytes of the weights loaded so far, in place or copied. */
  loadedBytes = 0
  readonly #loaded = new Map<string, Tensor>()
  readonly #packed = new Map<string, PackedWeight>()
  /** Those that are not filled yet. */
  readonly #empty: { part: Part; weight: PackedWeight }[] = []
  #vocabulary: VocabularyTensors | undefined

  /**
   * @param loadFormat What matrices that are stored as floats are quantized to; by default they stay as they are.
   * @param device Where they are multiplied.
   * @param threads Native threads that pack them.
   */
  constructor(
    private readonly checkpoint: Checkpoint,
    private readonly loadFormat?: LoadFormat,
    private readonly device: DeviceName = 'cpu',
    private readonly threads = 1,
  ) {}

  /** The names of the embedding and of the output layer; see vocabularyTensors(). */
  vocabularyTensors(isTied: boolean): VocabularyTensors {
    this.#vocabulary ??= vocabularyTensors(this.checkpoint, isTied)
    return this.#vocabulary
  }

  /** The columns that one block of a matrix spans: slices whose columns start and end at multiples of it stay blocks. */
  blockColumns(name: string): number {
    return FORMATS[this.#formatOf(name, this.checkpoint.find(name))].blockElements
  }

  /**
   * A matrix of `shape` [rows, columns], or a slice of it, as the weight of products: packed, if its type can be, by ready().
   * @throws InvalidInputError if it is missing or of another shape; RangeError for columns that cut its blocks.
   */
  productWeight(name: string, shape: readonly [number, number], slice: Slice = {}): Weight {
    const part = this.#part(name, shape, slice)
    const type = DATA_TYPES[part.format]
    if (!PackedWeight.canPack(type, this.device)) return this.#matrix(part)
    const known = this.#packed.get(part.key)
    if (known) return known
    const packed = fromFile(part.stored, () => new PackedWeight(type, [length(part.rows), length(part.columns)]))
    this.#empty.push({ part, weight: packed })
    this.#packed.set(part.key, packed)
    this.loadedBytes += packed.byteLength
    return packed
  }

  /**
   * Fills the weights of products that were asked for so far.
   * @throws InvalidInputError if one of them is unsound, or its file was changed.
   */
  async ready(): Promise<void> {
    for (const { part, weight } of this.#empty.splice(0)) await pack(part, weight, this.threads)
  }

  /** The same as a table whose rows are looked up: what productWeight() has loaded of it, or else as it is stored. */
  table(name: string, shape: readonly [number, number], slice: Slice = {}): Weight {
    const part = this.#part(name, shape, slice)
    return this.#packed.get(part.key) ?? this.#matrix(part)
  }

  /** The same as it is stored. */
  matrix(name: string, shape: readonly [number, number], slice: Slice = {}): Tensor {
    return this.#matrix(this.#part(name, shape, slice))
  }

  #part(name: string, shape: readonly [number, number], slice: Slice): Part {
    const rows = slice.rows ?? { start: 0, end: shape[0] }
    const columns = slice.columns ?? { start: 0, end: shape[1] }
    const key = `${name}[${rows.start}:${rows.end},${columns.start}:${columns.end}]`
    const stored = this.#find(name, shape)
    const format = this.#formatOf(name, stored)
    const { blockElements } = FORMATS[format]
    if (columns.start % blockElements !== 0 || columns.end % blockElements !== 0) {
      throw new RangeError(`columns [${columns.start}, ${columns.end}) of ${name} cut blocks of ${blockElements}`)
    }
    return { key, name, stored, format, rows, columns }
  }

  #matrix(part: Part): Tensor {
    const { key, name, stored, format, rows, columns } = part
    const known = this.#loaded.get(key)
    if (known) return known
    const inPlace = placeInFile(part)
    const blocks = inPlace ?? copyOf(part)
    if (inPlace) checkScales(name, stored, format, inPlace.bytes, 0)
    verify(stored, blocks)
    return this.#keep(key, blocks.view(DATA_TYPES[format], [length(rows), length(columns)]))
  }

  /**
   * A vector, or a part of it, widened to float32.
   * @throws InvalidInputError as for matrix(), and if it is quantized.
   */
  vector(name: string, size: number, range: Range = { start: 0, end: size }): Tensor<'float32'> {
    const key = `${name}[${range.start}:${range.end}]`
    const known = this.#loaded.get(key)
    if (known) return known as Tensor<'float32'>

    const stored = this.#find(name, [size])
    if (isQuantized(stored.format)) {
      throw new InvalidInputError(
        `${stored.file.path}: tensor ${name} is a vector in ${stored.format}; expected F32, F16 or BF16`,
      )
    }
    const asColumn = { ...stored, shape: [size, 1] }
    const part = { key, name, stored: asColumn, format: stored.format, rows: range, columns: { start: 0, end: 1 } }
    const blocks = placeInFile(part) ?? copyOf(part)
    const numbers = dequantize(stored.format, blocks.bytes)
    verify(stored, blocks)
    return this.#keep(key, floatTensor(numbers, [length(range)]))
  }

  #find(name: string, shape: readonly number[]): StoredTensor {
    const stored = this.checkpoint.find(name)
    if (stored.shape.length !== shape.length || stored.shape.some((size, i) => size !== shape[i])) {
      throw new InvalidInputError(
        `${stored.file.path}: tensor ${name} has shape [${stored.shape}], but ${this.checkpoint.configName} makes it [${shape}]`,
      )
    }
    return stored
  }

  /** The format that a matrix is loaded in: its own, or the one asked for where its rows are whole blocks of that. */
  #formatOf(name: string, stored: StoredTensor): FormatName {
    if (!this.loadFormat) return stored.format
    if (isQuantized(stored.format)) {
      throw new InvalidInputError(
        `${stored.file.path}: tensor ${name} is stored as ${stored.format}; only weights stored as F32, F16 or BF16 can be quantized when they are loaded`,
      )
    }
    return stored.shape[1]! % FORMATS[this.loadFormat].blockElements === 0 ? this.loadFormat : stored.format
  }

  #keep<T extends Tensor>(key: string, tensor: T): T {
    this.#loaded.set(key, tensor)
    this.loadedBytes += tensor.byteLength
    return tensor
  }
}

/** The blocks of a slice where they are in the file: if they are contiguous there, aligned, and of the format asked for. */
function placeInFile({ stored, format, rows, columns }: Part): Tensor<'uint8'> | undefined {
  const { offset, rowOrder, shape } = stored
  const rowBytes = bytesOf(format, shape[1]!)
  const first = offset + rows.start * rowBytes
  const isAligned = isQuantized(format) || first % FORMATS[format].blockBytes === 0
  if (format !== stored.format || length(columns) !== shape[1] || rowOrder || !isAligned) return undefined
  return fromFile(stored, (file) => file.map(first, length(rows) * rowBytes))
}

function copyOf(part: Part): Tensor<'uint8'> {
  const rowBytes = bytesOf(part.format, length(part.columns))
  const bytes = length(part.rows) * rowBytes
  const copy = fromFile(part.stored, () => Tensor.zeros('uint8', [bytes], { memory: 'private' }))
  for (const { row, bytes } of blocksOf(part)) copy.bytes.set(bytes, row * rowBytes)
  return copy
}

/** Fills a weight from its file, or, where it is quantized on the way, some rows at a time. */
async function pack(part: Part, weight: PackedWeight, threads: number): Promise<void> {
  const { name, stored, format, rows, columns } = part
  if (format !== stored.format) {
    for (const { row, bytes } of blocksOf(part)) weight.set(bytes, row)
    return fromFile(stored, (file) => file.expectUnchanged())
  }
  const { offset, rowOrder, shape } = stored
  const stride = bytesOf(format, shape[1]!)
  const order = rowOrder && Uint32Array.from({ length: length(rows) }, (_, i) => rowOrder(rows.start + i))
  const start = offset + bytesOf(format, columns.start)
  const place = order ? { offset: start, stride, order } : { offset: start + rows.start * stride, stride }
  let unsound: number
  try {
    unsound = await stored.file.pack(weight, place, threads)
  } catch (error) {
    throw fileError(stored, error as Error)
  }
  if (unsound >= 0) throw unsoundScale(name, stored, unsound)
}

/** Reads a slice some rows at a time, in its format, with sound scales. */
function* blocksOf({ name, stored, format, rows, columns }: Part): Generator<{ row: number; bytes: Uint8Array }> {
  const rowBlocks = length(columns) / FORMATS[format].blockElements
  for (const { row, bytes } of bandsOf(stored, rows, columns)) {
    const blocks = format === stored.format ? bytes : quantize(format as LoadFormat, dequantize(stored.format, bytes))
    checkScales(name, stored, format, blocks, row * rowBlocks)
    yield { row, bytes: blocks }
  }
}

/** Bytes of a slice that are in memory beside it while it is copied, quantized or packed. */
const BAND_BYTES = 2 ** 20

/** Reads a slice some rows at a time: their bytes, until the next are asked for, and the row of the slice that they start with. */
function* bandsOf(stored: StoredTensor, rows: Range, columns: Range): Generator<{ row: number; bytes: Uint8Array }> {
  const { format, offset, rowOrder, shape } = stored
  const rowBytes = bytesOf(format, shape[1]!)
  const sliceBytes = bytesOf(format, length(columns))
  const columnStart = bytesOf(format, columns.start)
  const { ROWS_AT_ONCE } = PackedWeight
  const mostRows = Math.max(1, Math.floor(BAND_BYTES / rowBytes / ROWS_AT_ONCE)) * ROWS_AT_ONCE
  const bandRows = Math.min(length(rows), mostRows)
  const whole = new Uint8Array(bandRows * rowBytes)
  const slice = sliceBytes === rowBytes ? whole : new Uint8Array(bandRows * sliceBytes)
  const read = (into: Uint8Array, row: number) => fromFile(stored, (file) => file.read(into, offset + row * rowBytes))
  for (let first = rows.start; first < rows.end; first += bandRows) {
    const count = Math.min(bandRows, rows.end - first)
    if (!rowOrder) read(whole.subarray(0, count * rowBytes), first)
    for (let i = 0; i < count; i++) {
      const row = whole.subarray(i * rowBytes, (i + 1) * rowBytes)
      if (rowOrder) read(row, rowOrder(first + i))
      if (slice !== whole) slice.set(row.subarray(columnStart, columnStart + sliceBytes), i * sliceBytes)
    }
    yield { row: first - rows.start, bytes: slice.subarray(0, count * sliceBytes) }
  }
}

function fromFile<T>(stored: StoredTensor, take: (file: StoredTensor['file']) => T): T {
  try {
    return take(stored.file)
  } catch (error) {
    throw fileError(stored, error as Error)
  }
}

function fileError({ file }: StoredTensor, error: Error): Error {
  if (error instanceof InvalidInputError) return error
  const { message } = error
  if (/cannot allocate (\d+ bytes of )?memory/i.test(message)) {
    return new Error(
      `${file.path} does not fit the memory that this worker may have: ${message}; split the model over more workers, or allow each more`,
    )
  }
  return new InvalidInputError(`${file.path} was changed while it was loaded: ${message}; try again`)
}

/** @throws InvalidInputError if what was read of blocks in place was not what the file held when it was opened. */
function verify(stored: StoredTensor, blocks: Tensor<'uint8'>): void {
  fromFile(stored, (file) => file.expectUnchanged())
  fromFile(stored, () => blocks.verify())
}

/** @throws InvalidInputError if a scale in blocks of a slice, from its block `first` on, is infinite or not a number. */
function checkScales(name: string, stored: StoredTensor, format: FormatName, blocks: Uint8Array, first: number): void {
  const unsound = isQuantized(format) ? unsoundBlock(format, blocks) : -1
  if (unsound >= 0) throw unsoundScale(name, stored, first + unsound)
}

function unsoundScale(name: string, { file }: StoredTensor, block: number): InvalidInputError {
  return new InvalidInputError(
    `${file.path}: tensor ${name} has a scale that is not a finite number in block ${block} of its slice; fetch it again`,
  )
}

function floatTensor(values: Float32Array, shape: readonly number[]): Tensor<'float32'> {
  return Tensor.from('float32', shape, values, { memory: 'private' })
}
