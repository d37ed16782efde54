import { type DataType, isQuantized, type QuantizedType } from '../data-type.js'

/** The element types that arrays are computed on. */
export type NumberType = Exclude<DataType, QuantizedType>

/** The type that two are promoted to, where TypeScript can tell. */
export type Promoted<A extends DataType, B extends DataType> = [A] extends [B] ? A : [B] extends [A] ? B : DataType

/** The type of a sum: integers are added up in int64. */
export type Summed<T extends DataType> = T extends 'float32' | 'float16' | 'bfloat16' ? T : 'int64'

const FLOATS: readonly DataType[] = ['float16', 'bfloat16', 'float32']
const INTEGERS: readonly DataType[] = ['int8', 'uint8', 'int32', 'int64']

/** Whether elements of a type are floats. */
export function isFloat(type: DataType): boolean {
  return FLOATS.includes(type)
}

/**
 * The type that elements of two types are computed in: the larger of two floats or of two integers; float32 for float16 and bfloat16,
 * int32 for int8 and uint8, as neither holds the other.
 * @throws TypeError for types of different kinds, which the array API standard does not mix.
 */
export function promote(what: string, a: DataType, b: DataType): DataType {
  if (a === b) return a
  for (const kind of [FLOATS, INTEGERS]) {
    if (!kind.includes(a) || !kind.includes(b)) continue
    const [low, high] = kind.indexOf(a) < kind.indexOf(b) ? [a, b] : [b, a]
    if (low === 'float16' && high === 'bfloat16') return 'float32'
    if (low === 'int8' && high === 'uint8') return 'int32'
    return high
  }
  throw new TypeError(
    `${what}: ${a} and ${b} are not mixed: use astype('${isFloat(a) || b === 'bool' ? a : b}') on the other`,
  )
}

/** @throws TypeError for a quantized type, whose numbers are in blocks. */
export function expectNumbers(what: string, type: DataType): void {
  if (isQuantized(type))
    throw new TypeError(`${what}: numbers of ${type} are stored in blocks, which are not computed on`)
}

/**
 * The type that a number takes beside an array of a type: the array's own.
 * @throws TypeError for a fraction beside integers, and for a bigint beside other types than int64.
 */
export function expectScalar(what: string, value: number | bigint | boolean, type: DataType): void {
  const kind = isFloat(type) ? 'a number' : type === 'bool' ? 'true or false' : 'a whole number'
  const fits = isFloat(type)
    ? typeof value === 'number'
    : type === 'bool'
      ? typeof value === 'boolean'
      : Number.isInteger(value) || typeof value === 'bigint'
  if (!fits) throw new TypeError(`${what}: expected ${kind} beside an array of ${type}, found ${String(value)}`)
}
