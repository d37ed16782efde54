import { expectElement, expectPlace, setElements } from './elements.js'

/**
 * A matrix that JavaScript fills before a program's runs, row by row, as long as its limits say. Numbers stay until they are
 * filled in anew.
 *
 * @example
 * ```ts
 * program.inputs.ids.set([3, 1, 4])
 * program.inputs.ends.fill(8)
 * ```
 */
export class ProgramInput {
  readonly #elements: Int32Array | Float32Array
  /** The number of its elements. */
  readonly length: number

  /** @internal */
  constructor(
    readonly name: string,
    readonly type: 'int32' | 'float32',
    elements: Int32Array | Float32Array,
  ) {
    this.#elements = elements
    this.length = elements.length
    // `input[0] = 1`, as arrays are written, is an error and not lost.
    Object.freeze(this)
  }

  /**
   * Fills in numbers from `offset` on, once all of them are known to fit.
   * @throws RangeError for numbers that the input cannot hold, such as 1.5 or NaN for int32, and for more of them than there is
   * room for; TypeError for other things than numbers.
   */
  set(values: ArrayLike<number>, offset = 0): void {
    setElements(this.#title(), this.type, this.#writable(), values, offset)
  }

  /**
   * Fills in one number from `start` to `end` (exclusive).
   * @throws RangeError or TypeError as {@link set} does.
   */
  fill(value: number, start = 0, end = this.length): void {
    expectElement(this.#title(), this.type, value)
    expectPlace(this.#title(), 'the start', start, this.length)
    expectPlace(this.#title(), 'the end', end, this.length)
    this.#writable().fill(value, start, end)
  }

  #title(): string {
    return `input ${this.name}`
  }

  #writable(): Int32Array | Float32Array {
    if (this.#elements.length === this.length) return this.#elements
    throw new Error(
      `${this.#title()}: the program's memory was transferred to another thread; compile the program again`,
    )
  }
}
