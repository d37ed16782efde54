import { shown } from '../elements.js'

/** Sizes of an array along its dimensions. */
export type Shape = readonly number[]

/** Elements of a shape. */
export function sizeOf(shape: Shape): number {
  return shape.reduce((product, size) => product * size, 1)
}

/** The number of elements between two neighbours along each dimension, in row-major order. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length)
  let step = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = step
    step *= shape[i]!
  }
  return strides
}

/**
 * The shape that shapes are broadcast to: aligned at their last dimensions, sizes are equal, or 1 and stretched.
 * @throws RangeError where they are neither.
 */
export function broadcastShapes(what: string, ...shapes: readonly Shape[]): number[] {
  const rank = Math.max(0, ...shapes.map(({ length }) => length))
  return Array.from({ length: rank }, (_, i) => {
    let size = 1
    for (const shape of shapes) {
      const own = shape[i - rank + shape.length] ?? 1
      if (own === 1 || own === size) continue
      if (size !== 1) throw new RangeError(`${what}: shapes ${shapes.map(text).join(' and ')} do not go together`)
      size = own
    }
    return size
  })
}

/**
 * The strides of an array of one shape seen in another that it is broadcast to.
 * @throws RangeError if it cannot be.
 */
export function broadcastStrides(what: string, from: Shape, to: Shape, strides = stridesOf(from)): number[] {
  const missing = to.length - from.length
  const fits = missing >= 0 && from.every((size, i) => size === 1 || size === to[i + missing])
  if (!fits) throw new RangeError(`${what}: shape ${text(from)} cannot be broadcast to ${text(to)}`)
  return to.map((_, i) => (i < missing || from[i - missing] === 1 ? 0 : strides[i - missing]!))
}

/**
 * A dimension by its number, of which negative ones count from the end.
 * @throws RangeError if there is no such dimension.
 */
export function axisOf(what: string, axis: number, rank: number): number {
  const found = axis < 0 ? axis + rank : axis
  if (Number.isInteger(axis) && found >= 0 && found < rank) return found
  const expected = rank === 0 ? 'none, of an array without dimensions' : `a whole number from ${-rank} to ${rank - 1}`
  throw new RangeError(`${what}: axis: expected ${expected}, found ${shown(axis)}`)
}

/**
 * Dimensions by their numbers, in rising order; all where none are named.
 * @throws RangeError if one is none, or is named twice.
 */
export function axesOf(what: string, axis: number | readonly number[] | undefined, rank: number): number[] {
  if (axis === undefined) return Array.from({ length: rank }, (_, i) => i)
  const axes = (typeof axis === 'number' ? [axis] : axis).map((each) => axisOf(what, each, rank)).sort((a, b) => a - b)
  if (new Set(axes).size === axes.length) return axes
  throw new RangeError(`${what}: axis: expected each dimension once, found ${shown(axis)}`)
}

/** A shape as errors show it. */
export function text(shape: Shape): string {
  return `[${shape.join(', ')}]`
}
