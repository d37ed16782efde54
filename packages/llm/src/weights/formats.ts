import type { DataType } from '@troupe/tensor'

/** A format in which weights are stored: blocks of so many elements of a row, each of so many bytes. */
export interface Format {
  readonly blockElements: number
  readonly blockBytes: number
  /** Where in a block its float16 scales and offsets are; none in the formats that are not quantized. */
  readonly scales: readonly number[]
}

const format = (blockElements: number, blockBytes: number, ...scales: number[]): Format => ({
  blockElements,
  blockBytes,
  scales,
})

/** The formats that can be read, by the names that GGUF and safetensors give them; block layouts are ggml's. */
export const FORMATS = {
  F32: format(1, 4),
  F16: format(1, 2),
  BF16: format(1, 2),
  Q8_0: format(32, 34, 0),
  Q4_0: format(32, 18, 0),
  Q4_1: format(32, 20, 0, 2),
  Q5_0: format(32, 22, 0),
  Q5_1: format(32, 24, 0, 2),
  Q4_K: format(256, 144, 0, 2),
  Q5_K: format(256, 176, 0, 2),
  Q6_K: format(256, 210, 208),
} as const satisfies Record<string, Format>

export type FormatName = keyof typeof FORMATS

/** The name that tensors give each format. */
export const DATA_TYPES = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  Q8_0: 'q8_0',
  Q4_0: 'q4_0',
  Q4_1: 'q4_1',
  Q5_0: 'q5_0',
  Q5_1: 'q5_1',
  Q4_K: 'q4_k',
  Q5_K: 'q5_k',
  Q6_K: 'q6_k',
} as const satisfies Record<FormatName, DataType>

export type FloatFormat = 'F32' | 'F16' | 'BF16'
export type QuantizedFormat = Exclude<FormatName, FloatFormat>

export function isQuantized(name: FormatName): name is QuantizedFormat {
  return FORMATS[name].scales.length > 0
}

/** Bytes of `elements` elements, which are whole blocks. */
export function bytesOf(name: FormatName, elements: number): number {
  return (elements / FORMATS[name].blockElements) * FORMATS[name].blockBytes
}

/** The first block whose scale or offset is infinite or not a number, which no quantizer writes; -1 if there is none. */
export function unsoundBlock(name: QuantizedFormat, bytes: Uint8Array): number {
  const { blockBytes, scales } = FORMATS[name]
  for (const offset of scales) {
    for (let at = offset + 1; at < bytes.length; at += blockBytes) {
      if ((bytes[at]! & 0x7c) === 0x7c) return Math.floor(at / blockBytes)
    }
  }
  return -1
}
