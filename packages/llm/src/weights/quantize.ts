import { FORMATS } from './formats.js'
import { toFloat16 } from './half.js'

/** The formats that weights can be quantized to when they are loaded. */
export const LOAD_FORMATS = ['Q8_0', 'Q4_0'] as const
/** One of {@link LOAD_FORMATS}. */
export type LoadFormat = (typeof LOAD_FORMATS)[number]

/** Quantizes the 32 elements of `x` from index `from` on, to the block at byte `at`. */
type Encode = (x: Float32Array, from: number, out: Uint8Array, at: number) => void

const round = Math.fround

const ENCODERS: Record<LoadFormat, Encode> = {
  Q8_0: (x, from, out, at) => {
    let largest = 0
    for (let i = 0; i < 32; i++) largest = Math.max(largest, Math.abs(x[from + i]!))
    const scale = round(largest / 127)
    const inverse = scale === 0 ? 0 : round(1 / scale)
    writeHalf(out, at, scale)
    for (let i = 0; i < 32; i++) {
      const value = round(x[from + i]! * inverse)
      // To the nearest, halves away from zero.
      out[at + 2 + i] = value < 0 ? -Math.floor(0.5 - value) : Math.floor(value + 0.5)
    }
  },
  Q4_0: (x, from, out, at) => {
    let largest = 0
    for (let i = 0; i < 32; i++) if (Math.abs(x[from + i]!) > Math.abs(largest)) largest = x[from + i]!
    const scale = round(largest / -8)
    const inverse = scale === 0 ? 0 : round(1 / scale)
    writeHalf(out, at, scale)
    const quant = (i: number) => Math.min(15, Math.trunc(round(round(x[from + i]! * inverse) + 8.5)))
    for (let i = 0; i < 16; i++) out[at + 2 + i] = quant(i) | (quant(i + 16) << 4)
  },
}

function writeHalf(out: Uint8Array, at: number, value: number): void {
  const bits = toFloat16(value)
  out[at] = bits & 0xff
  out[at + 1] = bits >> 8
}

/**
 * Quantizes rows whose length is a multiple of the format's blocks. Rounds as ggml's reference quantizers and the `gguf`
 * Python package do, bit for bit.
 */
export function quantize(format: LoadFormat, x: Float32Array): Uint8Array {
  const { blockElements, blockBytes } = FORMATS[format]
  const blocks = x.length / blockElements
  const out = new Uint8Array(blocks * blockBytes)
  const encode = ENCODERS[format]
  for (let block = 0; block < blocks; block++) encode(x, block * blockElements, out, block * blockBytes)
  return out
}
