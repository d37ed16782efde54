import { InvalidInputError } from '@troupe/core'
import { readable, WeightFile } from './weight-file.js'

/** A tensor of a safetensors file: its type as the file names it, its shape, and where its bytes are. */
export interface SafetensorsEntry {
  type: string
  shape: number[]
  /** Bytes from the start of the file. */
  start: number
  end: number
}

const BITS: Record<string, number> = {
  ...{ F64: 64, F32: 32, F16: 16, BF16: 16, F8_E4M3: 8, F8_E5M2: 8, BOOL: 8 },
  ...{ I64: 64, I32: 32, I16: 16, I8: 8, U64: 64, U32: 32, U16: 16, U8: 8 },
}
const LENGTH_BYTES = 8
/** The format's own limit for its header. */
const MOST_HEADER_BYTES = 100_000_000

/**
 * A safetensors file: a length, a JSON header and the tensors' bytes. Opening it checks that the header is true: that
 * every tensor is as long as its shape says and that together they fill the file without overlap.
 */
export class SafetensorsFile {
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>
  readonly file: WeightFile

  /** @throws InvalidInputError if the file is cut short or its header does not hold. */
  constructor(readonly path: string) {
    this.file = new WeightFile(path)
    try {
      this.tensors = this.#readHeader()
    } catch (error) {
      this.file.close()
      throw error instanceof RangeError ? this.#error(error.message) : error
    }
  }

  #readHeader(): Map<string, SafetensorsEntry> {
    const { size } = this.file
    if (size < LENGTH_BYTES) throw this.#error(`expected a header, found only ${size} bytes`)
    const lengthBytes = new Uint8Array(LENGTH_BYTES)
    this.file.read(lengthBytes, 0)
    const headerBytes = Number(new DataView(lengthBytes.buffer).getBigUint64(0, true))
    if (headerBytes > MOST_HEADER_BYTES || LENGTH_BYTES + headerBytes > size) {
      throw this.#error(`its header claims ${headerBytes} bytes, but the file has ${size}`)
    }
    const text = new Uint8Array(headerBytes)
    this.file.read(text, LENGTH_BYTES)
    const dataStart = LENGTH_BYTES + headerBytes
    const tensors = new Map<string, SafetensorsEntry>()
    for (const [name, entry] of Object.entries(this.#parse(text))) {
      if (name !== '__metadata__') tensors.set(name, this.#check(name, entry, dataStart))
    }
    this.#checkCoverage(tensors, dataStart, size)
    return tensors
  }

  #parse(text: Uint8Array): Record<string, unknown> {
    let header: unknown
    try {
      header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text))
    } catch (error) {
      throw this.#error(`its header is not JSON (${(error as Error).message})`)
    }
    if (typeof header !== 'object' || header === null || Array.isArray(header)) {
      throw this.#error('its header is not a JSON object')
    }
    return header as Record<string, unknown>
  }

  #check(name: string, entry: unknown, dataStart: number): SafetensorsEntry {
    const { dtype, shape, data_offsets: offsets } = (entry ?? {}) as Record<string, unknown>
    const bits = typeof dtype === 'string' ? BITS[dtype] : undefined
    if (typeof dtype !== 'string' || bits === undefined) {
      throw this.#error(`tensor ${name} has the unknown dtype ${JSON.stringify(dtype)}`)
    }
    if (!isSizes(shape)) throw this.#error(`tensor ${name} has the impossible shape ${JSON.stringify(shape)}`)
    if (!isSizes(offsets) || offsets.length !== 2) {
      throw this.#error(`tensor ${name} has the impossible data_offsets ${JSON.stringify(offsets)}`)
    }
    const [start, end] = offsets as [number, number]
    const expected = (shape.reduce((size, dimension) => size * dimension, 1) * bits) / 8
    if (end - start !== expected) {
      throw this.#error(
        `tensor ${name} of shape [${shape}] and dtype ${dtype} takes ${expected} bytes, but its data_offsets [${offsets}] span ${end - start}`,
      )
    }
    return { type: dtype, shape, start: dataStart + start, end: dataStart + end }
  }

  #checkCoverage(tensors: Map<string, SafetensorsEntry>, dataStart: number, size: number): void {
    let covered = dataStart
    for (const [name, tensor] of [...tensors].sort(([, a], [, b]) => a.start - b.start || a.end - b.end)) {
      if (tensor.start !== covered) {
        const what = tensor.start < covered ? 'overlaps the tensor before it' : 'leaves a hole before it'
        throw this.#error(`tensor ${name} ${what}`)
      }
      covered = tensor.end
    }
    if (covered !== size) {
      throw this.#error(`its header describes ${covered} bytes, but the file has ${size}; it may be cut short`)
    }
  }

  #error(problem: string): InvalidInputError {
    return new InvalidInputError(`${this.path} is not a sound safetensors file: ${readable(problem)}; fetch it again`)
  }
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0)
}
