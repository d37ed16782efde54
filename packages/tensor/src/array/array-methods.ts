import type { DataType } from '../data-type.js'
import type { Tensor } from '../tensor.js'
import { type ArrayOf, ElementwiseMethods, type Kind, type Scalar } from './elementwise-methods.js'
import * as operations from './operations.js'
import { axesOf, axisOf, broadcastStrides, type Shape, sizeOf, stridesOf, text } from './shapes.js'
import { isFloat, type Promoted, type Summed } from './types.js'

/** The dimensions that a reduction is along; all by default. Negative ones count from the end. */
export type Axes = number | readonly number[]

/** Options of a reduction. */
export interface ReductionOptions {
  /** Whether what is reduced stays as dimensions of size 1. Default false. */
  keepDims?: boolean
}

/**
 * The first entry of a dimension and the one past the last, of which negative ones count from its end, and how far apart entries are,
 * which is negative for an order from behind; a number for that entry alone, whose dimension is left out; nothing for all.
 */
export type Range = number | readonly [start?: number, end?: number, step?: number] | undefined

/**
 * Arithmetic on arrays, by the names and with the meaning that the array API standard (2023.12) gives its functions. Operands are
 * broadcast; types are promoted among floats and among integers, but not from one to the other. Results are arrays of their own.
 *
 * Methods throw a TypeError for types, and a RangeError for shapes, axes and indices, that an operation does not take.
 */
export abstract class ArrayMethods<K extends Kind, T extends DataType> extends ElementwiseMethods<K, T> {
  /** Sums, of integers in int64 and of floats in float64 before they are rounded; 0 of nothing. */
  sum(axis?: Axes, options: ReductionOptions = {}): ArrayOf<K, Summed<T>> {
    return this.#reduce('sum', this.#summed(), axis, options)
  }

  /** Products, as {@link sum}; 1 of nothing. */
  prod(axis?: Axes, options: ReductionOptions = {}): ArrayOf<K, Summed<T>> {
    return this.#reduce('prod', this.#summed(), axis, options)
  }

  /** Means; of floats alone. */
  mean(axis?: Axes, options: ReductionOptions = {}): ArrayOf<K, T> {
    return this.#reduce('mean', this.dtype, axis, options)
  }

  /** The largest; NaN where one is. */
  max(axis?: Axes, options: ReductionOptions = {}): ArrayOf<K, T> {
    return this.#reduce('max', this.dtype, axis, options)
  }

  /** The smallest; NaN where one is. */
  min(axis?: Axes, options: ReductionOptions = {}): ArrayOf<K, T> {
    return this.#reduce('min', this.dtype, axis, options)
  }

  /** The index of the first of the largest, or of the first NaN, along a dimension or in all elements in row-major order. */
  argmax(axis?: number, options: ReductionOptions = {}): ArrayOf<K, 'int32'> {
    return this.#reduce('argmax', 'int32', axis, options)
  }

  /** The index of the first of the smallest, or of the first NaN, as {@link argmax}. */
  argmin(axis?: number, options: ReductionOptions = {}): ArrayOf<K, 'int32'> {
    return this.#reduce('argmin', 'int32', axis, options)
  }

  /** Whether any element is other than 0. */
  any(axis?: Axes, options: ReductionOptions = {}): ArrayOf<K, 'bool'> {
    return this.#count(this.notEqual(this.#zero()), axis, options).notEqual(0) as ArrayOf<K, 'bool'>
  }

  /** Whether all elements are other than 0. */
  all(axis?: Axes, options: ReductionOptions = {}): ArrayOf<K, 'bool'> {
    return this.#count(this.equal(this.#zero()), axis, options).equal(0) as ArrayOf<K, 'bool'>
  }

  /** The variance: the mean of squared distances from the mean, with `correction` less in its divisor. Of floats alone. */
  var(axis?: Axes, { correction = 0, ...options }: ReductionOptions & { correction?: number } = {}): ArrayOf<K, T> {
    const axes = axesOf('var', axis, this.shape.length)
    const count = sizeOf(axes.map((i) => this.shape[i]!))
    const self = this as unknown as Tensor<'float32'>
    const squares = self
      .subtract(self.mean(axis, { keepDims: true }))
      .square()
      .sum(axis, options)
    return squares.divide(Math.max(0, count - correction)) as unknown as ArrayOf<K, T>
  }

  /** The standard deviation: the root of {@link var}. */
  std(axis?: Axes, options: ReductionOptions & { correction?: number } = {}): ArrayOf<K, T> {
    return (this.var(axis, options) as unknown as Tensor).sqrt() as unknown as ArrayOf<K, T>
  }

  /** e^x as shares of its sum along a dimension, computed from differences to the largest. Of floats alone. */
  softmax(axis = -1): ArrayOf<K, T> {
    const powers = this.#belowLargest(axis).exp()
    return powers.divide(powers.sum(axis, { keepDims: true })) as unknown as ArrayOf<K, T>
  }

  /** The natural logarithm of {@link softmax}. */
  logSoftmax(axis = -1): ArrayOf<K, T> {
    const below = this.#belowLargest(axis)
    return below.subtract(below.exp().sum(axis, { keepDims: true }).log()) as unknown as ArrayOf<K, T>
  }

  /**
   * [..., m, k] · [..., k, n] → [..., m, n]: matrix products, of floats in float32, whose leading dimensions are broadcast. An array of
   * one dimension is a row on the left and a column on the right, and leaves no dimension.
   */
  matmul<U extends DataType>(other: ArrayOf<K, U>): ArrayOf<K, Promoted<T, U>> {
    const [a, b] = this.alike('matmul', other)
    if (a.shape.length === 0 || b.shape.length === 0)
      throw new RangeError('matmul: expected arrays of one dimension or more')
    const left = a.shape.length === 1 ? a.expandDims(0) : a
    const right = b.shape.length === 1 ? b.expandDims(1) : b
    const product: Tensor = this.applied(operations.matmul(left, right))
    const { shape } = product
    const without = [
      ...(a.shape.length === 1 ? [shape.length - 2] : []),
      ...(b.shape.length === 1 ? [shape.length - 1] : []),
    ]
    return (without.length > 0 ? product.squeeze(without) : product) as unknown as ArrayOf<K, Promoted<T, U>>
  }

  /** Dimensions in another order. */
  permuteDims(axes: readonly number[]): ArrayOf<K, T> {
    const order = axes.map((axis) => axisOf('permuteDims', axis, this.shape.length))
    if (order.length !== this.shape.length || new Set(order).size !== order.length) {
      throw new RangeError(
        `permuteDims: expected each of ${this.shape.length} dimensions once, found [${axes.join(', ')}]`,
      )
    }
    const strides = stridesOf(this.shape)
    return this.#copy({ shape: order.map((i) => this.shape[i]!), strides: order.map((i) => strides[i]!) })
  }

  /** [..., m, n] → [..., n, m]. */
  matrixTranspose(): ArrayOf<K, T> {
    const rank = this.shape.length
    if (rank < 2) throw new RangeError(`matrixTranspose: expected two dimensions or more, found ${text(this.shape)}`)
    const order = this.shape.map((_, i) => i)
    return this.permuteDims([...order.slice(0, -2), rank - 1, rank - 2])
  }

  /** With dimensions of size 1 where the result is to have them; the same elements. */
  expandDims(axis: Axes): ArrayOf<K, T> {
    const count = typeof axis === 'number' ? 1 : axis.length
    const axes = axesOf('expandDims', axis, this.shape.length + count)
    const shape = [...this.shape]
    for (const at of axes) shape.splice(at, 0, 1)
    return this.seenAs(shape)
  }

  /** Without dimensions of size 1; the same elements. */
  squeeze(axis: Axes): ArrayOf<K, T> {
    const axes = axesOf('squeeze', axis, this.shape.length)
    const wide = axes.find((i) => this.shape[i] !== 1)
    if (wide !== undefined) throw new RangeError(`squeeze: axis ${wide} of shape ${text(this.shape)} is not of size 1`)
    return this.seenAs(this.shape.filter((_, i) => !axes.includes(i)))
  }

  /** Stretched to a shape. */
  broadcastTo(shape: Shape): ArrayOf<K, T> {
    return this.#copy({ shape, strides: broadcastStrides('broadcastTo', this.shape, shape) })
  }

  /** Entries of dimensions in reverse. */
  flip(axis?: Axes): ArrayOf<K, T> {
    const axes = axesOf('flip', axis, this.shape.length)
    return this.slice(...this.shape.map((_, i): Range => (axes.includes(i) ? [undefined, undefined, -1] : undefined)))
  }

  /**
   * Some entries of each dimension, from the first dimension on, as `x[1, 2:8, ::-1]` in Python.
   *
   * @example
   * ```ts
   * x.slice(1, [2, 8], [undefined, undefined, -1])
   * ```
   */
  slice(...ranges: readonly Range[]): ArrayOf<K, T> {
    if (ranges.length > this.shape.length) {
      throw new RangeError(`slice: expected ${this.shape.length} ranges at most, found ${ranges.length}`)
    }
    const strides = stridesOf(this.shape)
    const way = { shape: [] as number[], offset: 0, strides: [] as number[] }
    for (const [i, size] of this.shape.entries()) {
      const range = ranges[i]
      const { start, count, step } = entriesOf(range, size)
      way.offset += start * strides[i]!
      if (typeof range === 'number') continue
      way.shape.push(count)
      way.strides.push(step * strides[i]!)
    }
    return this.#copy(way)
  }

  /**
   * Entries of a dimension by their indices, of which negative ones count from its end.
   * @param indices Of int32 and of any shape, which takes the dimension's place.
   */
  take(indices: ArrayOf<K>, axis = 0): ArrayOf<K, T> {
    return this.applied(operations.take(this as unknown as Tensor, indices as Tensor, axis))
  }

  /**
   * The array with `values` added to the entries of a dimension that indices name, all of them where some are equal.
   * @param indices [n] of int32
   * @param values Of the array's shape, but n along the dimension.
   */
  indexAdd(indices: ArrayOf<K>, values: ArrayOf<K, T>, axis = 0): ArrayOf<K, T> {
    const [self, added] = [this as unknown as Tensor, values as unknown as Tensor]
    return this.applied(operations.indexAdd(self, indices as Tensor, added, axis))
  }

  /**
   * The elements that windows of a size see, as they move over the last two dimensions: [..., h, w] → [..., rows, columns, height,
   * width], as many rows and columns as there are whole windows.
   * @param options `step`: how far windows are apart, and `dilation`: how far the elements of one are, in both dimensions. Default 1.
   */
  windows(
    size: readonly [height: number, width: number],
    options: { step?: number; dilation?: number } = {},
  ): ArrayOf<K, T> {
    const { step = 1, dilation = 1 } = options
    if (this.shape.length < 2)
      throw new RangeError(`windows: expected two dimensions or more, found ${text(this.shape)}`)
    for (const [name, number] of Object.entries({ height: size[0], width: size[1], step, dilation })) {
      if (!(Number.isInteger(number) && number >= 1))
        throw new RangeError(`windows: ${name}: expected 1 or more, found ${number}`)
    }
    const [strides, outer] = [stridesOf(this.shape), this.shape.slice(0, -2)]
    const moves = size.map((length, i) => {
      const reach = dilation * (length - 1) + 1
      return Math.max(0, Math.floor((this.shape[outer.length + i]! - reach) / step) + 1)
    })
    const [down, right] = strides.slice(-2) as [number, number]
    const ways = [...strides.slice(0, -2), step * down, step * right, dilation * down, dilation * right]
    return this.#copy({ shape: [...outer, ...moves, ...size], strides: ways })
  }

  #zero(): Scalar {
    return this.dtype === 'bool' ? false : 0
  }

  #count(found: ArrayOf<K, 'bool'>, axis: Axes | undefined, options: ReductionOptions): Tensor {
    return (found as Tensor<'bool'>).sum(axis, options)
  }

  #summed(): Summed<T> {
    return (isFloat(this.dtype) ? this.dtype : 'int64') as Summed<T>
  }

  #belowLargest(axis: number): Tensor<'float32'> {
    const self = this as unknown as Tensor<'float32'>
    return self.subtract(self.max(axis, { keepDims: true }))
  }

  #copy(way: { shape: Shape; offset?: number; strides: readonly number[] }): ArrayOf<K, T> {
    return this.applied(operations.strided(this as unknown as Tensor, way, this.dtype))
  }

  #reduce<R>(name: string, dtype: DataType, axis: Axes | undefined, { keepDims = false }: ReductionOptions): R {
    return this.applied(operations.reduction(name, this as unknown as Tensor, dtype, { axis, keepDims }))
  }
}

/** The entries of a dimension that a range names. */
function entriesOf(range: Range, size: number): { start: number; count: number; step: number } {
  if (typeof range === 'number') return { start: axisOf('slice', range, size), count: 1, step: 1 }
  const [first, last, step = 1] = range ?? []
  for (const each of [first, last, step]) {
    if (each !== undefined && !Number.isInteger(each))
      throw new RangeError(`slice: expected whole numbers, found ${each}`)
  }
  if (step === 0) throw new RangeError('slice: a step is not 0')
  const within = (place: number, least: number, most: number) =>
    Math.min(Math.max(place < 0 ? place + size : place, least), most)
  const [low, high] = step > 0 ? [0, size] : [-1, size - 1]
  const start = first === undefined ? (step > 0 ? 0 : size - 1) : within(first, low, high)
  const end = last === undefined ? (step > 0 ? size : -1) : within(last, low, high)
  return { start, count: Math.max(0, Math.ceil((end - start) / step)), step }
}
