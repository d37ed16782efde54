/** GGUF's quantized types: rows of blocks of 32 or 256 numbers, each block with its own scales. */
export type QuantizedType = 'q8_0' | 'q4_0' | 'q4_1' | 'q5_0' | 'q5_1' | 'q4_k' | 'q5_k' | 'q6_k'

/**
 * The element types of tensors: plain ones by the names that the array API standard and PyTorch use for them, quantized ones
 * by GGUF's.
 */
export type DataType =
  | 'float32'
  | 'float16'
  | 'bfloat16'
  | 'bool'
  | 'int8'
  | 'uint8'
  | 'int32'
  | 'int64'
  | QuantizedType

/**
 * The types that the numbers of a KV cache may be rounded to. Float16 keeps 11 bits of each number below 65,520, bfloat16 8
 * bits of any; int8 keeps a key or value of one head with a float32 scale, each number off by 1/254 of the largest at most.
 */
export const CACHE_TYPES = ['float32', 'float16', 'bfloat16', 'int8'] as const
/** One of {@link CACHE_TYPES}. */
export type CacheType = (typeof CACHE_TYPES)[number]

/** Elements that a key or value of `headSize` numbers takes in a cache; for int8, 4 of them are its scale. */
export function cacheElements(type: CacheType, headSize: number): number {
  return type === 'int8' ? headSize + 4 : headSize
}

/** Bytes of a key or value of `headSize` numbers in a cache. */
export function cacheBytes(type: CacheType, headSize: number): number {
  return bytesOfRows(type, 1, cacheElements(type, headSize))
}

/** The typed array that a tensor's elements appear as. Float16 and bfloat16 appear as their bits, bool as 0 and 1, blocks as bytes. */
export type ElementArray<T extends DataType = DataType> = T extends 'float32'
  ? Float32Array
  : T extends 'float16' | 'bfloat16'
    ? Uint16Array
    : T extends 'int8'
      ? Int8Array
      : T extends 'uint8' | 'bool' | QuantizedType
        ? Uint8Array
        : T extends 'int32'
          ? Int32Array
          : BigInt64Array

const arrays = {
  float32: Float32Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  bool: Uint8Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int32: Int32Array,
  int64: BigInt64Array,
} as const

const blocks: Record<QuantizedType, { elements: number; bytes: number }> = {
  q8_0: { elements: 32, bytes: 34 },
  q4_0: { elements: 32, bytes: 18 },
  q4_1: { elements: 32, bytes: 20 },
  q5_0: { elements: 32, bytes: 22 },
  q5_1: { elements: 32, bytes: 24 },
  q4_k: { elements: 256, bytes: 144 },
  q5_k: { elements: 256, bytes: 176 },
  q6_k: { elements: 256, bytes: 210 },
}

/** All of {@link DataType}. */
export const DATA_TYPES = [...Object.keys(arrays), ...Object.keys(blocks)] as readonly DataType[]

/** Whether numbers of a type are stored in blocks that share a scale. */
export function isQuantized(type: DataType): type is QuantizedType {
  return Object.hasOwn(blocks, type)
}

/** The smallest whole piece of a row: its elements and bytes; a single element for plain types. */
export function blockOf(type: DataType): { elements: number; bytes: number } {
  return isQuantized(type) ? blocks[type] : { elements: 1, bytes: arrays[type].BYTES_PER_ELEMENT }
}

/**
 * Bytes of one element.
 * @throws TypeError for a quantized type, whose elements have no bytes of their own.
 */
export function bytesPerElement(type: DataType): number {
  if (!isQuantized(type)) return arrays[type].BYTES_PER_ELEMENT
  throw new TypeError(`${type} is stored in blocks; use blockOf('${type}')`)
}

/**
 * Bytes of `count` rows of `columns` elements.
 * @throws RangeError if a row does not end with a block.
 */
export function bytesOfRows(type: DataType, count: number, columns: number): number {
  const { elements, bytes } = blockOf(type)
  if (columns % elements !== 0) {
    throw new RangeError(`a row of ${type} holds a multiple of ${elements} numbers; found ${columns}`)
  }
  return count * (columns / elements) * bytes
}

/** A view of `bytes` bytes of `buffer`, from `byteOffset` on, as elements of a type. */
export function viewElements<T extends DataType>(
  type: T,
  buffer: ArrayBuffer,
  byteOffset: number,
  bytes: number,
): ElementArray<T> {
  const View = isQuantized(type) ? Uint8Array : arrays[type as keyof typeof arrays]
  return new View(buffer, byteOffset, bytes / View.BYTES_PER_ELEMENT) as ElementArray<T>
}

/** The number that an element stands for: float16 and bfloat16 are kept as their bits (IEEE 754-2008, section 3.6). */
export function numberOf(type: DataType, element: number | bigint): number | bigint {
  const bits = Number(element)
  if (type === 'bfloat16') return new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!
  if (type !== 'float16') return element
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023]
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25))
}
