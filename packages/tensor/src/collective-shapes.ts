import { bytesOf, type Tensor } from './tensor.js'

/** The ranks' shares of a tensor, as the first dimension of each. */
export type Rows = readonly number[]

/**
 * Checks the arguments of one rank's collectives against its group, before anything is sent. Each method throws a RangeError
 * that names the operation and the group.
 */
export class CollectiveShapes {
  readonly rank: number
  readonly size: number
  readonly name: string

  constructor({ rank, size, name }: { rank: number; size: number; name: string }) {
    this.rank = rank
    this.size = size
    this.name = name
  }

  /** As many rows of a tensor for each rank. */
  evenRows(operation: string, all: Tensor): Rows {
    const rows = all.shape[0] ?? 1
    if (rows % this.size !== 0) {
      throw new RangeError(
        `${operation} in group '${this.name}': ${rows} rows do not divide evenly among ${this.size} ranks`,
      )
    }
    return Array(this.size).fill(rows / this.size)
  }

  /** The bytes of each rank's share of `all`, this rank's being `own`; where there is no `all`, `own` tells a row's bytes. */
  shares(operation: string, own: Tensor, rows: Rows, all: Tensor | undefined): number[] {
    if (all) this.expectDtype(operation, own, all)
    const sizes = this.rowBytes(operation, rows, all ?? own, all ? undefined : rows[this.rank])
    if (sizes[this.rank] === own.byteLength) return sizes
    const expected = `expected ${rows[this.rank]} rows of ${sizes[this.rank]} bytes together`
    throw new RangeError(`${operation} in group '${this.name}': ${expected}, found a tensor of [${own.shape}]`)
  }

  /** The bytes of each rank's rows of a tensor that has `total` rows. */
  rowBytes(operation: string, rows: Rows, tensor: Tensor, total = rows.reduce((a, b) => a + b, 0)): number[] {
    const found = tensor.shape[0] ?? 1
    if (
      rows.length !== this.size ||
      !rows.every((count) => Number.isSafeInteger(count) && count >= 0) ||
      total !== found
    ) {
      const expected = `expected ${found} rows divided among ${this.size} ranks`
      throw new RangeError(`${operation} in group '${this.name}': ${expected}, found [${rows}]`)
    }
    // A rank without rows and without `all` cannot tell a row's bytes, and need not: nothing of it moves.
    const rowBytes = found === 0 ? rowBytesOf(tensor) : tensor.byteLength / found
    return rows.map((count) => count * rowBytes)
  }

  /** Checks that an output has the dtype and the size of its input. */
  expectAlike(operation: string, input: Tensor, output: Tensor): void {
    this.expectDtype(operation, input, output)
    if (input.size === output.size) return
    const found = `found [${output.shape}] for [${input.shape}]`
    throw new RangeError(`${operation} in group '${this.name}': expected an output of the input's size, ${found}`)
  }

  /** Checks that two tensors have one dtype. */
  expectDtype(operation: string, input: Tensor, output: Tensor): void {
    if (input.dtype === output.dtype) return
    const found = `found ${input.dtype} and ${output.dtype}`
    throw new RangeError(`${operation} in group '${this.name}': expected tensors of one dtype, ${found}`)
  }

  /** The whole tensor, which the root must give. */
  atRoot(operation: string, root: number, all: Tensor | undefined): Tensor | undefined {
    if (this.known(root) === this.rank && !all) {
      throw new RangeError(`${operation} in group '${this.name}': the root, rank ${root}, must give the whole tensor`)
    }
    return all
  }

  /** A rank that is not this one. */
  other(rank: number): number {
    if (this.known(rank) !== this.rank) return rank
    throw new RangeError(`group '${this.name}': rank ${rank} cannot send to itself or receive from itself`)
  }

  /** A rank of the group. */
  known(rank: number): number {
    if (Number.isInteger(rank) && rank >= 0 && rank < this.size) return rank
    throw new RangeError(`group '${this.name}' has ranks 0 to ${this.size - 1}; found ${rank}`)
  }
}

/** Bytes of one entry of the first dimension. */
function rowBytesOf(tensor: Tensor): number {
  return bytesOf(tensor.dtype, [1, ...tensor.shape.slice(1)])
}
