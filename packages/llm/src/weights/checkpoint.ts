import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { InvalidInputError } from '@troupe/core'
import { bytesPerElement, Tensor } from '@troupe/tensor'
import { length, type Range } from '../parallel/plan.js'
import { fromBfloat16, fromFloat16 } from './half.js'
import { SafetensorsFile, type StoredTensor } from './safetensors.js'

const TYPES = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const
type WeightType = (typeof TYPES)[keyof typeof TYPES]

const CHUNK_BYTES = 4 << 20

/** The part of a matrix that a rank needs; a range left out means all of it. */
export interface Slice {
  rows?: Range
  columns?: Range
}

/**
 * The weights of a Hugging Face model directory: `model.safetensors`, or the files that `model.safetensors.index.json`
 * names. Reads only the bytes of the slices asked for, each once.
 */
export class Checkpoint {
  /** Bytes of the weights loaded so far. */
  loadedBytes = 0
  readonly #files: SafetensorsFile[] = []
  readonly #tensors = new Map<string, { file: SafetensorsFile; stored: StoredTensor }>()
  readonly #loaded = new Map<string, Tensor>()

  /** @throws InvalidInputError if files are missing or unsound. */
  constructor(readonly directory: string) {
    try {
      for (const path of weightFiles(directory)) this.#open(path)
    } catch (error) {
      this.close()
      throw error
    }
  }

  has(name: string): boolean {
    return this.#tensors.has(name)
  }

  /**
   * A matrix of `shape` [rows, columns], or a slice of it, in the type that it is stored in.
   * @throws InvalidInputError if it is missing, of another shape, or of a type other than F32, F16 and BF16.
   */
  matrix(name: string, shape: readonly [number, number], slice: Slice = {}): Tensor {
    const rows = slice.rows ?? { start: 0, end: shape[0] }
    const columns = slice.columns ?? { start: 0, end: shape[1] }
    const key = `${name}[${rows.start}:${rows.end},${columns.start}:${columns.end}]`
    const known = this.#loaded.get(key)
    if (known) return known

    const { file, stored, type } = this.#find(name, shape)
    const elementBytes = bytesPerElement(type)
    const tensor = this.#keep(key, Tensor.zeros(type, [length(rows), length(columns)], { memory: 'private' }))
    const rowBytes = shape[1] * elementBytes
    const from = stored.start + rows.start * rowBytes
    if (length(columns) === shape[1]) {
      file.read(tensor.bytes, from)
    } else {
      copyColumns(file, from, rowBytes, columns.start * elementBytes, tensor.bytes, length(rows))
    }
    return tensor
  }

  /**
   * A vector, or a part of it, widened to float32.
   * @throws InvalidInputError as for matrix().
   */
  vector(name: string, size: number, range: Range = { start: 0, end: size }): Tensor<'float32'> {
    const key = `${name}[${range.start}:${range.end}]`
    const known = this.#loaded.get(key)
    if (known) return known as Tensor<'float32'>

    const { file, stored, type } = this.#find(name, [size])
    const elementBytes = bytesPerElement(type)
    const raw = new Uint8Array(length(range) * elementBytes)
    file.read(raw, stored.start + range.start * elementBytes)
    const tensor = Tensor.from('float32', [length(range)], widen(raw, type), { memory: 'private' })
    return this.#keep(key, tensor)
  }

  /** Closes the files; what was loaded stays. */
  close(): void {
    for (const file of this.#files) file.close()
    this.#files.length = 0
  }

  #open(path: string): void {
    const file = new SafetensorsFile(path)
    this.#files.push(file)
    for (const [name, stored] of file.tensors) this.#tensors.set(name, { file, stored })
  }

  #find(name: string, shape: readonly number[]): { file: SafetensorsFile; stored: StoredTensor; type: WeightType } {
    const found = this.#tensors.get(name)
    if (!found) throw new InvalidInputError(`${this.directory}: its weights lack the tensor ${name}`)
    const { file, stored } = found
    if (stored.shape.length !== shape.length || stored.shape.some((size, i) => size !== shape[i])) {
      throw new InvalidInputError(
        `${file.path}: tensor ${name} has shape [${stored.shape}], but config.json makes it [${shape}]`,
      )
    }
    const type = TYPES[stored.type as keyof typeof TYPES]
    if (!type) {
      throw new InvalidInputError(
        `${file.path}: tensor ${name} has dtype ${stored.type}; weights must be F32, F16 or BF16, so convert them first`,
      )
    }
    return { file, stored, type }
  }

  #keep<T extends Tensor>(key: string, tensor: T): T {
    this.#loaded.set(key, tensor)
    this.loadedBytes += tensor.byteLength
    return tensor
  }
}

function weightFiles(directory: string): string[] {
  const single = join(directory, 'model.safetensors')
  if (existsSync(single)) return [single]
  const index = join(directory, 'model.safetensors.index.json')
  if (!existsSync(index)) {
    throw new InvalidInputError(`${directory} has neither model.safetensors nor model.safetensors.index.json`)
  }
  const map = readJson(index).weight_map
  if (typeof map !== 'object' || map === null) throw new InvalidInputError(`${index} has no weight_map`)
  const files = [...new Set(Object.values(map))].map((name) => join(directory, String(name)))
  const missing = files.find((path) => !existsSync(path))
  if (missing) throw new InvalidInputError(`${index} names ${missing}, which does not exist`)
  return files
}

function copyColumns(
  file: SafetensorsFile,
  from: number,
  rowBytes: number,
  columnStart: number,
  to: Uint8Array,
  rows: number,
): void {
  const sliceBytes = to.byteLength / Math.max(1, rows)
  const rowsPerRead = Math.max(1, Math.floor(CHUNK_BYTES / rowBytes))
  const buffer = new Uint8Array(Math.min(rows, rowsPerRead) * rowBytes)
  for (let row = 0; row < rows; row += rowsPerRead) {
    const count = Math.min(rowsPerRead, rows - row)
    const chunk = buffer.subarray(0, count * rowBytes)
    file.read(chunk, from + row * rowBytes)
    for (let i = 0; i < count; i++) {
      const start = i * rowBytes + columnStart
      to.set(chunk.subarray(start, start + sliceBytes), (row + i) * sliceBytes)
    }
  }
}

function widen(raw: Uint8Array, type: WeightType): Float32Array {
  if (type === 'float32') return new Float32Array(raw.buffer)
  return Float32Array.from(new Uint16Array(raw.buffer), type === 'float16' ? fromFloat16 : fromBfloat16)
}

/**
 * The JSON object in a file.
 * @throws InvalidInputError if there is none.
 */
export function readJson(path: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new InvalidInputError(`${path} cannot be read as JSON: ${(error as Error).message}`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidInputError(`${path} does not hold a JSON object`)
  }
  return value as Record<string, unknown>
}

/**
 * The path of a model directory's config.json.
 * @throws InvalidInputError if there is no such directory or file.
 */
export function configPath(directory: string): string {
  if (!existsSync(directory)) {
    throw new InvalidInputError(`no model at ${directory}; expected a Hugging Face model directory with config.json`)
  }
  if (!statSync(directory).isDirectory()) {
    throw new InvalidInputError(`${directory} is a file; expected a Hugging Face model directory with config.json`)
  }
  const path = join(directory, 'config.json')
  if (!existsSync(path)) {
    throw new InvalidInputError(`${directory} has no config.json; expected a Hugging Face model directory`)
  }
  return path
}
