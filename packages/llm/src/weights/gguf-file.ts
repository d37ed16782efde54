import { InvalidInputError } from '@troupe/core'
import { ByteReader } from './byte-reader.js'
import { bytesOf, FORMATS, type FormatName } from './formats.js'
import { type MetadataValue, readMetadataValue } from './gguf-metadata.js'
import { readable, WeightFile } from './weight-file.js'

/** A tensor of a GGUF file. */
export interface GgufTensor {
  file: WeightFile
  format: FormatName
  /** The slowest dimension first, the other way round than the file writes it. */
  shape: number[]
  /** Bytes from the start of the file. */
  start: number
  end: number
}

const MAGIC = 0x46554747
const VERSION = 3
const MOST_DIMENSIONS = 4
const MOST_ALIGNMENT = 1 << 20

/** ggml's numbers of the formats that can be computed on. */
const FORMAT_NUMBERS: Record<number, FormatName> = {
  ...{ 0: 'F32', 1: 'F16', 30: 'BF16', 8: 'Q8_0', 2: 'Q4_0', 3: 'Q4_1', 6: 'Q5_0', 7: 'Q5_1' },
  ...{ 12: 'Q4_K', 13: 'Q5_K', 14: 'Q6_K' },
}

/**
 * A GGUF file of version 3: metadata, the list of tensors and their bytes
 * (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). Opening it checks that the header is true: every count
 * fits the file, and every tensor lies inside it, at its alignment and apart from the others.
 */
export class GgufFile {
  readonly file: WeightFile
  readonly metadata = new Map<string, MetadataValue>()
  readonly tensors = new Map<string, GgufTensor>()

  /** @throws InvalidInputError if the file is not GGUF, is cut short or its header does not hold. */
  constructor(readonly path: string) {
    this.file = new WeightFile(path)
    try {
      this.#readHeader()
    } catch (error) {
      this.file.close()
      throw error instanceof RangeError ? this.error(error.message) : error
    }
  }

  close(): void {
    this.file.close()
  }

  error(problem: string): InvalidInputError {
    return new InvalidInputError(`${this.path} is not a sound GGUF file: ${readable(problem)}; fetch it again`)
  }

  #readHeader(): void {
    const fail = (problem: string) => this.error(problem)
    const reader = new ByteReader(this.file, fail)
    if (reader.left < 4 || reader.uint32() !== MAGIC) {
      throw new InvalidInputError(`${this.path} is not a GGUF file; expected one, or a Hugging Face model directory`)
    }
    const version = reader.uint32()
    if (version !== VERSION) {
      throw new InvalidInputError(
        `${this.path} is a GGUF file of version ${version}; expected version ${VERSION}, so convert it again`,
      )
    }
    const tensorCount = reader.count('tensors', 24)
    const metadataCount = reader.count('metadata entries', 13)
    for (let i = 0; i < metadataCount; i++) {
      const key = reader.text('a metadata key')
      if (this.metadata.has(key)) throw fail(`metadata ${key} is there twice`)
      this.metadata.set(key, readMetadataValue(reader, reader.uint32(), key, fail))
    }
    for (let i = 0; i < tensorCount; i++) this.#readTensor(reader)
    this.#placeTensors(reader.position)
  }

  /** Reads a tensor's entry; its offset counts from where the tensors' bytes begin, which is known after the last one. */
  #readTensor(reader: ByteReader): void {
    const name = reader.text("a tensor's name")
    if (this.tensors.has(name)) throw this.error(`tensor ${name} is there twice`)
    const dimensions = reader.uint32()
    if (dimensions < 1 || dimensions > MOST_DIMENSIONS) {
      throw this.error(`tensor ${name} has ${dimensions} dimensions; expected 1 to ${MOST_DIMENSIONS}`)
    }
    const sizes = Array.from({ length: dimensions }, () => reader.uint64())
    const elements = sizes.reduce((product, size) => product * size, 1n)
    if (elements < 1n || elements > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw this.error(`tensor ${name} has the impossible shape [${sizes}]`)
    }
    const number = reader.uint32()
    const format = Object.hasOwn(FORMAT_NUMBERS, number) ? FORMAT_NUMBERS[number] : undefined
    if (!format) {
      throw new InvalidInputError(
        `${this.path}: tensor ${readable(name)} is in ggml's format ${number}; supported: ${Object.keys(FORMATS).join(', ')}`,
      )
    }
    const { blockElements } = FORMATS[format]
    if (Number(sizes[0]) % blockElements !== 0) {
      throw this.error(`tensor ${name} has rows of ${sizes[0]}, which are no whole blocks of ${format}`)
    }
    const offset = reader.uint64()
    const bytes = bytesOf(format, Number(elements))
    if (offset > BigInt(this.file.size) || bytes > this.file.size) {
      throw this.error(`tensor ${name} takes ${bytes} bytes at ${offset}, but the file has ${this.file.size}`)
    }
    const shape = sizes.map(Number).reverse()
    this.tensors.set(name, { file: this.file, format, shape, start: Number(offset), end: Number(offset) + bytes })
  }

  #placeTensors(headerEnd: number): void {
    const alignment = this.metadata.get('general.alignment') ?? 32
    if (typeof alignment !== 'number' || !isPowerOfTwo(alignment) || alignment > MOST_ALIGNMENT) {
      throw this.error(`general.alignment is ${alignment}; expected a power of two of at most ${MOST_ALIGNMENT}`)
    }
    const dataStart = Math.ceil(headerEnd / alignment) * alignment
    let covered = dataStart
    for (const [name, tensor] of [...this.tensors].sort(([, a], [, b]) => a.start - b.start)) {
      if (tensor.start % alignment !== 0) {
        throw this.error(`tensor ${name} is at ${tensor.start}, which is no multiple of its alignment, ${alignment}`)
      }
      tensor.start += dataStart
      tensor.end += dataStart
      if (tensor.start < covered) throw this.error(`tensor ${name} overlaps the tensor before it`)
      if (tensor.end > this.file.size) {
        throw this.error(`tensor ${name} ends at ${tensor.end}, but the file has ${this.file.size} bytes`)
      }
      covered = tensor.end
    }
  }
}

function isPowerOfTwo(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0 && Number.isInteger(Math.log2(value))
}
