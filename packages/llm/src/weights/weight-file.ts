import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { Tensor } from '@troupe/tensor'

/** A file of weights, open for reading. */
export class WeightFile {
  readonly #descriptor: number
  /** Bytes, when it was opened. */
  readonly size: number

  constructor(readonly path: string) {
    this.#descriptor = openSync(path, 'r')
    this.size = fstatSync(this.#descriptor).size
  }

  /**
   * Fills `into` with the file's bytes from `position` on.
   * @throws RangeError if the file ends before.
   */
  read(into: Uint8Array, position: number): void {
    for (let done = 0; done < into.byteLength; ) {
      const count = readSync(this.#descriptor, into, done, into.byteLength - done, position + done)
      if (count === 0) throw new RangeError(`expected ${into.byteLength} bytes at ${position}, found its end`)
      done += count
    }
  }

  /**
   * The `bytes` bytes from `offset` on in place. They stay readable after the file is closed.
   * @throws Error if the file ends before, also if it was cut since it was opened.
   */
  map(offset: number, bytes: number): Tensor<'uint8'> {
    return Tensor.map('uint8', [bytes], { fd: this.#descriptor, offset })
  }

  close(): void {
    closeSync(this.#descriptor)
  }
}

/** Text from a file as it can stand in an error of one line. */
export function readable(text: string): string {
  return text.replaceAll(/\p{C}+/gu, '?').slice(0, 400)
}
