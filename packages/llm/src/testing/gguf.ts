import type { FormatName } from '../weights/formats.js'

/** A metadata value under the name of its GGUF type; an array is one of values of a type. */
export type Typed =
  | { uint32: number }
  | { float32: number }
  | { bool: boolean }
  | { string: string }
  | { strings: string[] }
  | { float32s: number[] }
  | { int32s: number[] }

export interface GgufContent {
  metadata?: Record<string, Typed>
  tensors?: { name: string; format: FormatName; shape: number[]; bytes: Uint8Array; offset?: number }[]
  version?: number
}

const NUMBERS: Record<FormatName, number> = {
  ...{ F32: 0, F16: 1, BF16: 30, Q8_0: 8, Q4_0: 2, Q4_1: 3, Q5_0: 6, Q5_1: 7, Q4_K: 12, Q5_K: 13, Q6_K: 14 },
}
const ALIGNMENT = 32

/** The bytes of a GGUF file; shapes are given with the slowest dimension first. */
export function gguf({ metadata = {}, tensors = [], version = 3 }: GgufContent): Uint8Array {
  const parts: Buffer[] = [Buffer.from('GGUF'), uint32(version)]
  parts.push(uint64(tensors.length), uint64(Object.keys(metadata).length))
  for (const [key, value] of Object.entries(metadata)) parts.push(text(key), ...typed(value))
  let end = 0
  const data: Buffer[] = []
  for (const { name, format, shape, bytes, offset } of tensors) {
    parts.push(text(name), uint32(shape.length), ...shape.toReversed().map(uint64), uint32(NUMBERS[format]))
    parts.push(uint64(offset ?? end))
    const padding = -bytes.length & (ALIGNMENT - 1)
    data.push(Buffer.from(bytes), Buffer.alloc(padding))
    end += bytes.length + padding
  }
  const header = Buffer.concat(parts)
  return Uint8Array.from(Buffer.concat([header, Buffer.alloc(-header.length & (ALIGNMENT - 1)), ...data]))
}

function typed(value: Typed): Buffer[] {
  if ('uint32' in value) return [uint32(4), uint32(value.uint32)]
  if ('float32' in value) return [uint32(6), float32(value.float32)]
  if ('bool' in value) return [uint32(7), Buffer.from([value.bool ? 1 : 0])]
  if ('string' in value) return [uint32(8), text(value.string)]
  if ('strings' in value) return [uint32(9), uint32(8), uint64(value.strings.length), ...value.strings.map(text)]
  if ('float32s' in value) return [uint32(9), uint32(6), uint64(value.float32s.length), ...value.float32s.map(float32)]
  return [uint32(9), uint32(5), uint64(value.int32s.length), ...value.int32s.map(uint32)]
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([uint64(bytes.length), bytes])
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

function float32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return bytes
}
