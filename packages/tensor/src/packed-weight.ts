import { packedBytes, packFile, packRows } from '@troupe/native'
import { backendOf } from './backend/backends.js'
import { nativeRegion } from './backend/native-memory.js'
import { blockOf, type DataType } from './data-type.js'
import { type DeviceName, toDevice } from './device.js'
import { Tensor } from './tensor.js'

/** Types whose weights can be packed. */
export const PACKED_TYPES = ['float32', 'float16', 'bfloat16', 'q8_0', 'q4_0'] as const
/** One of {@link PACKED_TYPES}. */
export type PackedType = (typeof PACKED_TYPES)[number]

/** Where the rows of a matrix, or of some of its columns, are in a file. */
export interface FileRows {
  /** The descriptor of the open file. */
  fd: number
  /** Bytes before row 0. */
  offset: number
  /** Bytes from where a row begins to where the next does. */
  stride: number
  /** What row the file has in the place of each; their own if left out. */
  order?: Uint32Array
}

/**
 * A weight [outputs, inputs] in the order in which products on this processor read it: a constant of a trace, whose products with
 * few rows are up to twice as fast as with the weight as it is stored, and give the same bits. It is filled some rows at a time, so
 * that the stored weight need not be in memory as a whole. It serves this process alone.
 *
 * @example
 * ```ts
 * const weight = new PackedWeight('q8_0', [4096, 1024])
 * for (let row = 0; row < 4096; row += 64) weight.set(await readRows(row, row + 64), row)
 * const y = trace.linear(x, trace.constant(weight))
 * ```
 */
export class PackedWeight {
  /** Rows are set in multiples of so many. */
  static readonly ROWS_AT_ONCE = 16

  /** The packed bytes. */
  readonly packed: Tensor<'uint8'>

  /**
   * A weight of zeros.
   * @throws TypeError for another type, and RangeError for a shape whose rows are not whole blocks
   */
  constructor(
    readonly dtype: PackedType,
    readonly shape: readonly [number, number],
  ) {
    if (!PackedWeight.canPack(dtype)) throw new TypeError(`weights of ${dtype} cannot be packed`)
    this.packed = Tensor.zeros('uint8', [packedBytes(dtype, ...shape)], { memory: 'private' })
  }

  /** Whether weights of a type can be packed, for programs of a device. */
  static canPack(dtype: DataType, device: DeviceName = 'cpu'): dtype is PackedType {
    return PACKED_TYPES.some((type) => type === dtype) && backendOf(toDevice(device)).packsWeights
  }

  /** Bytes of the packed weight, which whole tiles of up to 16 rows fill. */
  get byteLength(): number {
    return this.packed.byteLength
  }

  /**
   * Sets rows, given as they are stored, from row `first` on.
   * @throws RangeError unless `first` is a multiple of {@link PackedWeight.ROWS_AT_ONCE}, and the rows are too, or reach the end
   */
  set(rows: Uint8Array, first: number): void {
    const { elements, bytes } = blockOf(this.dtype)
    const [count, columns] = this.shape
    if (first * (columns / elements) * bytes + rows.length > count * (columns / elements) * bytes) {
      throw new RangeError(`expected rows of a weight [${this.shape}], found ${rows.length} bytes from row ${first} on`)
    }
    packRows(this.dtype, columns, rows, this.packed.bytes, first)
  }
  /**
   * Sets all rows from a file, which `threads` native threads read and pack meanwhile. The file stays open until then.
   * @returns The first block, counted row by row, whose scale is infinite or not a number: what was set is of no use then. Else -1.
   * @throws Error if the file cannot be read, or ends before
   */
  setFrom(rows: FileRows, threads = 1): Promise<number> {
    return packFile(this.dtype, this.shape, rows, nativeRegion(this.packed.operand), threads)
  }
}
