import type { DataType } from '../data-type.js'
import { axesOf, axisOf, broadcastShapes, broadcastStrides, type Shape, sizeOf, stridesOf, text } from './shapes.js'

/** An operand as its operation knows it: the type and the shape of an array that lies in row-major order. */
export interface Operand {
  readonly dtype: DataType
  readonly shape: Shape
}

/** One operation on arrays, as every backend takes it. */
export interface ArrayOperation<A extends Operand = Operand, T extends DataType = DataType> {
  /** `array.` and what it does. */
  readonly name: string
  readonly inputs: readonly A[]
  /** The type and the shape of the result. */
  readonly dtype: T
  readonly shape: Shape
  /** Sizes and strides: see native/src/program/array_operations.h. */
  readonly geometry: readonly number[]
}

/** A function of elements of arrays of one type, which are broadcast to a common shape. */
export function elementwise<A extends Operand, T extends DataType>(
  name: string,
  inputs: readonly A[],
  dtype: T,
): ArrayOperation<A, T> {
  const shape = broadcastShapes(name, ...inputs.map((input) => input.shape))
  const ways = inputs.flatMap((input) => [0, ...broadcastStrides(name, input.shape, shape)])
  return { name: `array.${name}`, inputs, dtype, shape, geometry: [shape.length, ...shape, ...ways] }
}

/** A copy of some elements of an array: those that a way through them comes to. */
export function strided<A extends Operand, T extends DataType>(
  input: A,
  way: { shape: Shape; offset?: number; strides: readonly number[] },
  dtype: T,
): ArrayOperation<A, T> {
  const { shape, offset = 0, strides } = way
  return { name: 'array.copy', inputs: [input], dtype, shape, geometry: [shape.length, ...shape, offset, ...strides] }
}

/** A reduction along some dimensions, which are left out or, with `keepDims`, become 1. */
export function reduction<A extends Operand, T extends DataType>(
  name: string,
  input: A,
  dtype: T,
  { axis, keepDims }: { axis: number | readonly number[] | undefined; keepDims: boolean },
): ArrayOperation<A, T> {
  const { shape } = input
  const axes = axesOf(name, axis, shape.length)
  const strides = stridesOf(shape)
  const all = shape.map((_, i) => i)
  const kept = all.filter((i) => !axes.includes(i))
  const of = (numbers: readonly number[], dimensions: readonly number[]) => dimensions.map((i) => numbers[i]!)
  const geometry = [
    ...[kept.length, ...of(shape, kept), axes.length, ...of(shape, axes)],
    ...[0, ...of(strides, kept), ...of(strides, axes)],
  ]
  const left = keepDims ? shape.map((size, i) => (axes.includes(i) ? 1 : size)) : of(shape, kept)
  return { name: `array.${name}`, inputs: [input], dtype, shape: left, geometry }
}

/** [..., m, k] · [..., k, n] → [..., m, n], whose leading dimensions are broadcast. */
export function matmul<A extends Operand>(a: A, b: A): ArrayOperation<A> {
  const [m, k] = a.shape.slice(-2) as [number, number]
  const [inner, n] = b.shape.slice(-2) as [number, number]
  if (inner !== k) throw new RangeError(`matmul: shapes ${text(a.shape)} and ${text(b.shape)} do not go together`)
  const batch = broadcastShapes('matmul', a.shape.slice(0, -2), b.shape.slice(0, -2))
  const wayOf = ({ shape }: Operand) => [0, ...broadcastStrides('matmul', shape.slice(0, -2), batch)]
  const geometry = [m, k, n, batch.length, ...batch, ...wayOf(a), ...wayOf(b)]
  return { name: 'array.matmul', inputs: [a, b], dtype: a.dtype, shape: [...batch, m, n], geometry }
}

/** Entries of a dimension by their indices, which may have any shape and takes the dimension's place. */
export function take<A extends Operand>(x: A, indices: A, axis: number): ArrayOperation<A> {
  const at = axisOf('take', axis, x.shape.length)
  const shape = [...x.shape.slice(0, at), ...indices.shape, ...x.shape.slice(at + 1)]
  return { name: 'array.take', inputs: [x, indices], dtype: x.dtype, shape, geometry: around(x.shape, at) }
}

/** x, with entries of `values` added to those of a dimension that indices [n] name. */
export function indexAdd<A extends Operand>(x: A, indices: A, values: A, axis: number): ArrayOperation<A> {
  const at = axisOf('indexAdd', axis, x.shape.length)
  const expected = [...x.shape.slice(0, at), indices.shape[0] ?? 1, ...x.shape.slice(at + 1)]
  if (indices.shape.length !== 1)
    throw new RangeError(`indexAdd: indices: expected one dimension, found ${text(indices.shape)}`)
  if (expected.length !== values.shape.length || expected.some((size, i) => size !== values.shape[i])) {
    throw new RangeError(`indexAdd: values: expected shape ${text(expected)}, found ${text(values.shape)}`)
  }
  const inputs = [x, indices, values]
  return { name: 'array.indexAdd', inputs, dtype: x.dtype, shape: x.shape, geometry: around(x.shape, at) }
}

/** Arrays of one type side by side along a dimension; the others are equal. */
export function concat<A extends Operand>(inputs: readonly A[], axis: number): ArrayOperation<A> {
  const [first] = inputs
  if (!first) throw new RangeError('concat: expected at least one array')
  const at = axisOf('concat', axis, first.shape.length)
  const stranger = inputs.find(
    ({ shape }) => shape.length !== first.shape.length || shape.some((size, i) => i !== at && size !== first.shape[i]),
  )
  if (stranger) {
    throw new RangeError(
      `concat: shapes ${text(first.shape)} and ${text(stranger.shape)} differ elsewhere than in axis ${axis}`,
    )
  }
  const shape = first.shape.with(
    at,
    inputs.reduce((sum, input) => sum + input.shape[at]!, 0),
  )
  const outer = sizeOf(shape.slice(0, at))
  const sizes = inputs.map((input) => sizeOf(input.shape.slice(at)))
  return { name: 'array.concat', inputs, dtype: first.dtype, shape, geometry: [outer, ...sizes] }
}

/** The sizes before a dimension, of it, and behind it. */
function around(shape: Shape, axis: number): number[] {
  return [sizeOf(shape.slice(0, axis)), shape[axis]!, sizeOf(shape.slice(axis + 1))]
}
