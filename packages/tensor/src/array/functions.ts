import type { DataType } from '../data-type.js'
import { Tensor } from '../tensor.js'
import type { ArrayOf, Kind } from './elementwise-methods.js'
import * as operations from './operations.js'
import { axisOf } from './shapes.js'
import { TracedArray } from './traced-array.js'
import { type NumberType, promote } from './types.js'

/** An array of either kind. */
export type AnyArray = Tensor | TracedArray

/**
 * Elements of `a` where a condition holds, and of `b` elsewhere; the three are broadcast.
 * @param condition Of bool.
 * @throws TypeError for a condition of another type, and for types that are not mixed; RangeError for shapes that do not go together.
 */
export function where<A extends AnyArray>(condition: ArrayOf<A extends Tensor ? 'tensor' : 'traced'>, a: A, b: A): A {
  const type = promote('where', a.dtype, b.dtype) as NumberType
  const inputs = [condition, a.astype(type), b.astype(type)] as Tensor[]
  return applied(operations.elementwise('where', inputs, type)) as A
}

/**
 * Arrays side by side along a dimension; the others are equal.
 * @throws RangeError for none, and for shapes that differ elsewhere; TypeError for types that are not mixed.
 */
export function concat<A extends AnyArray>(arrays: readonly A[], axis = 0): A {
  return applied(operations.concat(alike('concat', arrays), axis)) as A
}

/**
 * Arrays of one shape side by side along a new dimension.
 * @throws as {@link concat}
 */
export function stack<A extends AnyArray>(arrays: readonly A[], axis = 0): A {
  const at = axisOf('stack', axis, (arrays[0]?.shape.length ?? 0) + 1)
  return concat(arrays.map((array) => array.expandDims(at)) as unknown as A[], at)
}

/**
 * The convolution, as networks call it, of images with filters: [n, channels, h, w], [outputs, channels, height, width] → [n, outputs,
 * rows, columns], as sums over the windows of a filter's size.
 * @param options `step`: how far windows are apart, `dilation`: how far the elements of one are (default 1), and `padding`: zeros around
 * each image, or before and after in both dimensions (default 0).
 * @throws RangeError for shapes that do not go together
 */
export function convolve<A extends AnyArray>(
  images: A,
  filters: A,
  options: { step?: number; dilation?: number; padding?: number } = {},
): A {
  const { padding = 0, ...moves } = options
  const [count, channels] = images.shape
  const [outputs, depth, height, width] = filters.shape
  if (images.shape.length !== 4 || filters.shape.length !== 4 || channels !== depth) {
    const found = `[${images.shape.join(', ')}] and [${filters.shape.join(', ')}]`
    throw new RangeError(
      `convolve: expected images [n, channels, h, w] and filters [outputs, channels, h, w], found ${found}`,
    )
  }
  const windows = (pad(images as Tensor, padding, [2, 3]) as Tensor).windows([height!, width!], moves)
  const [rows, columns] = windows.shape.slice(2) as [number, number]
  const seen = windows.permuteDims([0, 2, 3, 1, 4, 5]).reshape([count! * rows * columns, depth! * height! * width!])
  const weights = (filters as Tensor).reshape([outputs!, depth! * height! * width!]).matrixTranspose()
  const sums = seen.matmul(weights).reshape([count!, rows, columns, outputs!])
  return sums.permuteDims([0, 3, 1, 2]) as unknown as A
}

/**
 * An array with zeros around it.
 * @param width How many, before and after.
 * @param axes The dimensions that get them; all by default.
 * @throws RangeError for a width that is none
 */
export function pad<A extends AnyArray>(array: A, width: number, axes?: readonly number[]): A {
  if (!(Number.isInteger(width) && width >= 0))
    throw new RangeError(`pad: expected a width of 0 or more, found ${width}`)
  if (width === 0) return array
  let padded = array as Tensor
  for (const axis of axes ?? array.shape.map((_, i) => i)) {
    const zeros = zerosLike(padded, padded.shape.with(axisOf('pad', axis, padded.shape.length), width))
    padded = concat([zeros, padded, zeros], axis)
  }
  return padded as A
}

function zerosLike(array: Tensor, shape: readonly number[]): Tensor {
  const zeros = Tensor.zeros(array.dtype, shape, { memory: 'private', device: array.device })
  return array instanceof TracedArray
    ? ((array as unknown as TracedArray).trace.array(zeros) as unknown as Tensor)
    : zeros
}

/** Arrays in the type that all are promoted to. */
function alike(what: string, arrays: readonly AnyArray[]): Tensor[] {
  const [first, ...others] = arrays.map(({ dtype }) => dtype)
  if (first === undefined) throw new RangeError(`${what}: expected at least one array`)
  const type = others.reduce((known, dtype) => promote(what, known, dtype), first) as NumberType
  return arrays.map((array) => array.astype(type)) as Tensor[]
}

/** What all kinds have in common: the first operand's kind computes. */
function applied(operation: operations.ArrayOperation<Tensor>): ArrayOf<Kind, DataType> {
  const [first] = operation.inputs as readonly [Tensor]
  return first.apply(operation)
}
