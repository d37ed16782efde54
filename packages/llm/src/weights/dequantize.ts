import { type FloatFormat, FORMATS, type FormatName, isQuantized, type QuantizedFormat } from './formats.js'
import { fromFloat16 } from './half.js'

/** Writes the elements of the block at byte `at` to `out`, from index `to` on. */
type Decode = (bytes: Uint8Array, at: number, out: Float32Array, to: number) => void

let values: Float32Array | undefined

/** The value of every float16, by its bits. */
function float16Values(): Float32Array {
  values ??= Float32Array.from({ length: 1 << 16 }, (_, bits) => fromFloat16(bits))
  return values
}

/** The float16 at byte `at`. */
function half(bytes: Uint8Array, at: number): number {
  return float16Values()[bytes[at]! | (bytes[at + 1]! << 8)]!
}

/** Element i of 32 from bit i of a little-endian word of 4 bytes. */
function bit(bytes: Uint8Array, at: number, i: number): number {
  return (bytes[at + (i >> 3)]! >> (i & 7)) & 1
}

/** 16 bytes hold elements 0 to 15 in their low nibbles and 16 to 31 in their high ones. */
function nibble(bytes: Uint8Array, at: number, i: number): number {
  return i < 16 ? bytes[at + i]! & 15 : bytes[at + i - 16]! >> 4
}

/** The 6-bit scale and offset of run `j` of 8, packed in 12 bytes. */
function packedScale(bytes: Uint8Array, at: number, j: number): number {
  return j < 4 ? bytes[at + j]! & 63 : (bytes[at + j + 4]! & 15) | ((bytes[at + j - 4]! >> 2) & 48)
}

function packedOffset(bytes: Uint8Array, at: number, j: number): number {
  return j < 4 ? bytes[at + j + 4]! & 63 : (bytes[at + j + 4]! >> 4) | ((bytes[at + j]! >> 2) & 48)
}

const DECODERS: Record<QuantizedFormat, Decode> = {
  Q8_0: (bytes, at, out, to) => {
    const d = half(bytes, at)
    for (let i = 0; i < 32; i++) out[to + i] = d * ((bytes[at + 2 + i]! << 24) >> 24)
  },
  Q4_0: (bytes, at, out, to) => {
    const d = half(bytes, at)
    for (let i = 0; i < 32; i++) out[to + i] = d * (nibble(bytes, at + 2, i) - 8)
  },
  Q4_1: (bytes, at, out, to) => {
    const d = half(bytes, at)
    const m = half(bytes, at + 2)
    for (let i = 0; i < 32; i++) out[to + i] = d * nibble(bytes, at + 4, i) + m
  },
  Q5_0: (bytes, at, out, to) => {
    const d = half(bytes, at)
    for (let i = 0; i < 32; i++) {
      out[to + i] = d * ((nibble(bytes, at + 6, i) | (bit(bytes, at + 2, i) << 4)) - 16)
    }
  },
  Q5_1: (bytes, at, out, to) => {
    const d = half(bytes, at)
    const m = half(bytes, at + 2)
    for (let i = 0; i < 32; i++) {
      out[to + i] = d * (nibble(bytes, at + 8, i) | (bit(bytes, at + 4, i) << 4)) + m
    }
  },
  // 256 elements in 8 runs of 32; two runs share 32 bytes of nibbles.
  Q4_K: (bytes, at, out, to) => {
    const d = half(bytes, at)
    const min = half(bytes, at + 2)
    for (let run = 0; run < 8; run++) {
      const scale = d * packedScale(bytes, at + 4, run)
      const offset = min * packedOffset(bytes, at + 4, run)
      const nibbles = at + 16 + (run >> 1) * 32
      const shift = (run & 1) * 4
      for (let i = 0; i < 32; i++) out[to + run * 32 + i] = scale * ((bytes[nibbles + i]! >> shift) & 15) - offset
    }
  },
  // As Q4_K, with a fifth bit: byte i of 32 holds bit `run` of element i of each run.
  Q5_K: (bytes, at, out, to) => {
    const d = half(bytes, at)
    const min = half(bytes, at + 2)
    for (let run = 0; run < 8; run++) {
      const scale = d * packedScale(bytes, at + 4, run)
      const offset = min * packedOffset(bytes, at + 4, run)
      const nibbles = at + 48 + (run >> 1) * 32
      const shift = (run & 1) * 4
      for (let i = 0; i < 32; i++) {
        const high = (bytes[at + 16 + i]! >> run) & 1
        out[to + run * 32 + i] = scale * (((bytes[nibbles + i]! >> shift) & 15) | (high << 4)) - offset
      }
    }
  },
  // 8 runs of 32: 4 low bits in nibbles, 2 high bits in pairs, a signed scale for each 16, all centred on 32.
  Q6_K: (bytes, at, out, to) => {
    const d = half(bytes, at + 208)
    for (let run = 0; run < 8; run++) {
      const low = at + (run >> 2) * 64 + (run & 1) * 32
      const high = at + 128 + (run >> 2) * 32
      const lowShift = run & 2 ? 4 : 0
      const highShift = (run & 3) * 2
      for (let i = 0; i < 32; i++) {
        const scale = d * ((bytes[at + 192 + run * 2 + (i >> 4)]! << 24) >> 24)
        const q = ((bytes[low + i]! >> lowShift) & 15) | (((bytes[high + i]! >> highShift) & 3) << 4)
        out[to + run * 32 + i] = scale * (q - 32)
      }
    }
  },
}

/**
 * The elements of whole blocks as float32. Equal bit for bit to what ggml's reference functions and the `gguf` Python
 * package give: a product of a scale and a quant has few enough bits to be exact, so that only one rounding happens.
 */
export function dequantize(format: FormatName, bytes: Uint8Array): Float32Array {
  if (!isQuantized(format)) return widen(format, bytes)
  const { blockElements, blockBytes } = FORMATS[format]
  const blocks = bytes.length / blockBytes
  const out = new Float32Array(blocks * blockElements)
  const decode = DECODERS[format]
  for (let block = 0; block < blocks; block++) decode(bytes, block * blockBytes, out, block * blockElements)
  return out
}

function widen(format: FloatFormat, bytes: Uint8Array): Float32Array {
  const { buffer } = bytes.slice() // at an address that suits the elements
  if (format === 'F32') return new Float32Array(buffer)
  const halves = new Uint16Array(buffer)
  const wide = new Uint32Array(halves.length)
  if (format === 'BF16') {
    for (let i = 0; i < halves.length; i++) wide[i] = halves[i]! << 16
    return new Float32Array(wide.buffer)
  }
  const out = new Float32Array(wide.buffer)
  for (let i = 0; i < halves.length; i++) out[i] = float16Values()[halves[i]!]!
  return out
}
