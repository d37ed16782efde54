import { inspect } from 'node:util'
import { DATA_TYPES, type DataType, type ElementArray, isQuantized } from './data-type.js'

/** The numbers that elements of a type hold: the least and the most of whole ones, or any number. */
function rangeOf(type: DataType): { least: number | bigint; most: number | bigint } | undefined {
  switch (type) {
    case 'float32':
      return undefined
    case 'bool':
      return { least: 0, most: 1 }
    case 'int8':
      return { least: -128, most: 127 }
    case 'int32':
      return { least: -(2 ** 31), most: 2 ** 31 - 1 }
    case 'int64':
      return { least: -(2n ** 63n), most: 2n ** 63n - 1n }
    case 'float16':
    case 'bfloat16':
      return { least: 0, most: 65_535 }
    default:
      return { least: 0, most: 255 }
  }
}

function expectedOf(type: DataType): string {
  const range = rangeOf(type)
  if (!range) return 'numbers'
  const kind = type === 'int64' ? 'bigints' : 'whole numbers'
  const meaning = isQuantized(type)
    ? `, the bytes of ${type}`
    : type === 'float16' || type === 'bfloat16'
      ? `, the bits of ${type}`
      : ''
  return `${kind} from ${range.least} to ${range.most}${meaning}`
}

/** A value as an error of one line shows it. */
export function shown(value: unknown): string {
  return inspect(value, { depth: 0, breakLength: Number.POSITIVE_INFINITY, maxArrayLength: 4 })
    .replaceAll(/\s+/g, ' ')
    .slice(0, 80)
}

/**
 * Copies numbers into elements from `offset` on, once all of them are known to fit. Numbers become float32 by rounding; all
 * other elements take whole numbers of their range only.
 * @param what The name of the elements in errors.
 * @throws TypeError for what is no list, or a list of other things than numbers (bigints for int64); RangeError for numbers
 * that the type cannot hold, and for more of them than there is room for.
 */
export function setElements<T extends DataType>(
  what: string,
  type: T,
  elements: ElementArray<T>,
  values: ArrayLike<unknown>,
  offset = 0,
): void {
  const { length } = expectList(what, type, values)
  expectPlace(what, 'the offset', offset, elements.length)
  if (length > elements.length - offset) {
    throw new RangeError(
      `${what}: expected at most ${elements.length - offset} values from ${offset} on, found ${length}`,
    )
  }
  const ofType = elements.constructor as new () => ElementArray
  // Bytes of other types than bool hold whatever bytes hold.
  if (!(values instanceof ofType) || type === 'bool')
    for (let i = 0; i < length; i++) expectElement(what, type, values[i], i)
  ;(elements as { set(values: ArrayLike<unknown>, offset: number): void }).set(values, offset)
}

/** @throws TypeError or RangeError unless an element of a type can hold a value; `index` is its place in a list. */
export function expectElement(what: string, type: DataType, value: unknown, index?: number): void {
  const range = rangeOf(type)
  const isNumber = typeof value === (type === 'int64' ? 'bigint' : 'number')
  if (isNumber) {
    if (!range) return
    const number = value as number | bigint
    const isWhole = typeof number === 'bigint' || Number.isInteger(number)
    if (isWhole && number >= range.least && number <= range.most) return
  }
  const place = index === undefined ? '' : ` at [${index}]`
  const message = `${what}: expected ${expectedOf(type)}; found ${shown(value)}${place}`
  throw isNumber ? new RangeError(message) : new TypeError(message)
}

/** @throws RangeError unless a place is a whole number from 0 to `most`. */
export function expectPlace(what: string, name: string, place: number, most: number): void {
  if (Number.isInteger(place) && place >= 0 && place <= most) return
  throw new RangeError(`${what}: ${name}: expected a whole number from 0 to ${most}, found ${shown(place)}`)
}

/** @throws TypeError unless it is one of the types of tensors. */
export function expectDataType(type: unknown): asserts type is DataType {
  if (typeof type === 'string' && (DATA_TYPES as readonly string[]).includes(type)) return
  throw new TypeError(`a tensor's dtype: expected one of ${DATA_TYPES.join(', ')}; found ${shown(type)}`)
}

/** @throws TypeError unless it is a list, whose memory is there. */
export function expectList(what: string, type: DataType, values: unknown): ArrayLike<unknown> {
  const { length } = Object(values) as ArrayLike<unknown>
  if (typeof values !== 'object' || values === null || !Number.isSafeInteger(length) || length < 0) {
    throw new TypeError(`${what}: expected a list of ${expectedOf(type)}; found ${shown(values)}`)
  }
  if (ArrayBuffer.isView(values)) {
    try {
      ;(values as Uint8Array).at(0)
    } catch {
      throw new TypeError(`${what}: found an array whose memory was transferred or has shrunk`)
    }
  }
  return values as ArrayLike<unknown>
}
