/** The element types of tensors, by the names that safetensors files and PyTorch use for them. */
export type DataType = 'float32' | 'float16' | 'bfloat16' | 'int8' | 'uint8' | 'int32' | 'int64'

/** The typed array that a tensor's elements appear as. Float16 and bfloat16 appear as their bits. */
export type ElementArray<T extends DataType = DataType> = T extends 'float32'
  ? Float32Array
  : T extends 'float16' | 'bfloat16'
    ? Uint16Array
    : T extends 'int8'
      ? Int8Array
      : T extends 'uint8'
        ? Uint8Array
        : T extends 'int32'
          ? Int32Array
          : BigInt64Array

const arrays = {
  float32: Float32Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int32: Int32Array,
  int64: BigInt64Array,
} as const

/** Bytes of one element. */
export function bytesPerElement(type: DataType): number {
  return arrays[type].BYTES_PER_ELEMENT
}

/** A view of `count` elements of `buffer`, from `byteOffset` on. */
export function viewElements<T extends DataType>(
  type: T,
  buffer: ArrayBuffer,
  byteOffset: number,
  count: number,
): ElementArray<T> {
  return new arrays[type](buffer, byteOffset, count) as ElementArray<T>
}
