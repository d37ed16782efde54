import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { InvalidInputError } from '@troupe/core'
import { type FileRows, type PackedWeight, Tensor } from '@troupe/tensor'

/** A file of weights, open for reading. */
export class WeightFile {
  readonly #descriptor: number
  /** Bytes, when it was opened. */
  readonly size: number
  /** Milliseconds; when it had last been written to then. */
  readonly #written: number

  constructor(readonly path: string) {
    this.#descriptor = openSync(path, 'r')
    const { size, mtimeMs } = fstatSync(this.#descriptor)
    this.size = size
    this.#written = mtimeMs
  }

  /**
   * Fills `into` with the file's bytes from `position` on.
   * @throws RangeError if the file ends before; InvalidInputError if it was changed since it was opened.
   */
  read(into: Uint8Array, position: number): void {
    for (let done = 0; done < into.byteLength; ) {
      const count = readSync(this.#descriptor, into, done, into.byteLength - done, position + done)
      if (count === 0) {
        this.expectUnchanged()
        throw new RangeError(`expected ${into.byteLength} bytes at ${position}, found its end`)
      }
      done += count
    }
    this.expectUnchanged()
  }

  /**
   * The `bytes` bytes from `offset` on in place. They stay readable after the file is closed.
   * @throws InvalidInputError if it was changed since it was opened; Error if the file ends before.
   */
  map(offset: number, bytes: number): Tensor<'uint8'> {
    this.expectUnchanged()
    return Tensor.map('uint8', [bytes], { fd: this.#descriptor, offset })
  }

  /**
   * Sets a packed weight to rows of the file, on native threads.
   * @param rows Where they are, but for the file.
   * @returns The first block whose scale is no finite number, or -1.
   * @throws InvalidInputError if it was changed since it was opened; Error if the file ends before.
   */
  async pack(weight: PackedWeight, rows: Omit<FileRows, 'fd'>, threads: number): Promise<number> {
    try {
      return await weight.setFrom({ ...rows, fd: this.#descriptor }, threads)
    } finally {
      this.expectUnchanged()
    }
  }

  /** @throws InvalidInputError if the file was cut, or written to, since it was opened. */
  expectUnchanged(): void {
    const { size, mtimeMs } = fstatSync(this.#descriptor)
    if (size !== this.size) {
      throw new InvalidInputError(
        `${this.path} was ${this.size} bytes when it was opened and is ${size} now; put it back and load it again`,
      )
    }
    if (mtimeMs !== this.#written) {
      throw new InvalidInputError(`${this.path} was written to since it was opened; load it again`)
    }
  }

  close(): void {
    closeSync(this.#descriptor)
  }
}

/** Text from a file as it can stand in an error of one line. */
export function readable(text: string): string {
  return text.replaceAll(/\p{C}+/gu, '?').slice(0, 400)
}
