import type { DataType } from '../data-type.js'
import { Tensor } from '../tensor.js'
import type { Trace, Value } from '../trace.js'
import { ArrayMethods } from './array-methods.js'
import type { Scalar } from './elementwise-methods.js'
import type { ArrayOperation } from './operations.js'
import { type Shape, sizeOf, text } from './shapes.js'

/**
 * An array of a trace: what a program will compute, or an input or a constant of it. It has the methods of tensors, which record
 * operations in place of doing them.
 *
 * @example
 * ```ts
 * const trace = new Trace()
 * const x = trace.arrayInput('x', [32, 784])
 * const y = x.matmul(trace.array(weights)).tanh()
 * const program = trace.compile({ y: y.value }, { threads: 2 })
 * ```
 */
export class TracedArray<T extends DataType = DataType> extends ArrayMethods<'traced', T> {
  /** @internal */
  constructor(
    readonly trace: Trace,
    /** The value that it is in its trace: a row an element. */
    readonly value: Value,
    readonly dtype: T,
    readonly shape: Shape,
  ) {
    super()
  }

  /**
   * The same elements under another shape.
   * @throws RangeError if the shapes differ in size.
   */
  reshape(shape: Shape): TracedArray<T> {
    if (sizeOf(shape) !== sizeOf(this.shape)) throw new RangeError(`cannot see ${text(this.shape)} as ${text(shape)}`)
    return this.seenAs(shape)
  }

  /** @internal */
  apply<U extends DataType>(operation: ArrayOperation<TracedArray, U>): TracedArray<U> {
    const { name, inputs, dtype, shape, geometry } = operation
    const stranger = inputs.find(({ trace }) => trace !== this.trace)
    if (stranger) throw new TypeError(`${name}: expected arrays of one trace`)
    const values = inputs.map(({ value }) => value)
    return new TracedArray(this.trace, this.trace.compute(name, values, dtype, sizeOf(shape), geometry), dtype, shape)
  }

  /** @internal */
  protected seenAs(shape: Shape): TracedArray<T> {
    return new TracedArray(this.trace, this.value, this.dtype, [...shape])
  }

  /** @internal */
  protected scalar(value: Scalar, dtype: DataType): TracedArray {
    return this.trace.array(Tensor.scalar(value, dtype))
  }
}
