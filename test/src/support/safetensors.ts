import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** The bits of a float32 rounded to bfloat16 or float16, ties to even. */
function roundedBits(value: number, format: 'F16' | 'BF16'): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!
  if (format === 'BF16') return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16
  if (Math.abs(value) < 2 ** -14) return ((bits >>> 16) & 0x8000) | Math.round(Math.abs(value) * 2 ** 24)
  const rounded = (bits & 0x7fffffff) + 0xfff + ((bits >>> 13) & 1)
  return ((bits >>> 16) & 0x8000) | ((rounded - 0x38000000) >>> 13)
}

function fromBits(bits: number, format: 'F16' | 'BF16'): number {
  if (format === 'BF16') return new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!
  const magnitude = bits & 0x7fff
  const value =
    magnitude < 0x400 ? magnitude * 2 ** -24 : (1 + (magnitude & 0x3ff) / 1024) * 2 ** ((magnitude >> 10) - 15)
  return bits & 0x8000 ? -value : value
}

/** Rounds a model's float32 weights to a half format; stored in it, or as the float32 numbers that they round to. */
export function rewriteWeights(folder: string, format: 'F16' | 'BF16', asFloat32 = false): void {
  const path = join(folder, 'model.safetensors')
  const bytes = readFileSync(path)
  const headerBytes = Number(bytes.readBigUInt64LE())
  const header = JSON.parse(bytes.subarray(8, 8 + headerBytes).toString())
  const data = Uint8Array.from(bytes.subarray(8 + headerBytes))
  const bits = Uint16Array.from(new Float32Array(data.buffer), (value) => roundedBits(value, format))
  const values = asFloat32 ? Float32Array.from(bits, (each) => fromBits(each, format)) : bits
  for (const [name, tensor] of Object.entries<{ dtype: string; data_offsets: number[] }>(header)) {
    if (name === '__metadata__' || asFloat32) continue
    tensor.dtype = format
    tensor.data_offsets = tensor.data_offsets.map((offset) => offset / 2)
  }
  const text = Buffer.from(JSON.stringify(header))
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(text.length))
  writeFileSync(path, Buffer.concat([size, text, new Uint8Array(values.buffer)]))
}

/** Changes the numbers of a float32 tensor of a model.safetensors in place. */
export function changeTensor(
  path: string,
  name: string,
  change: (values: Float32Array, shape: number[]) => void,
): void {
  const bytes = readFileSync(path)
  const headerBytes = Number(bytes.readBigUInt64LE())
  const { shape, data_offsets } = JSON.parse(bytes.subarray(8, 8 + headerBytes).toString())[name]
  const [start, end] = data_offsets.map((offset: number) => 8 + headerBytes + offset)
  const values = new Float32Array(Uint8Array.from(bytes.subarray(start, end)).buffer)
  change(values, shape)
  bytes.set(new Uint8Array(values.buffer), start)
  writeFileSync(path, bytes)
}

/** Gives the tensors of a model.safetensors other names. */
export function renameTensors(path: string, rename: (name: string) => string): void {
  const bytes = readFileSync(path)
  const headerBytes = Number(bytes.readBigUInt64LE())
  const header = JSON.parse(bytes.subarray(8, 8 + headerBytes).toString()) as Record<string, unknown>
  const renamed = Object.entries(header).map(([name, tensor]) => [
    name === '__metadata__' ? name : rename(name),
    tensor,
  ])
  const text = Buffer.from(JSON.stringify(Object.fromEntries(renamed)).padEnd(headerBytes))
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(text.length))
  writeFileSync(path, Buffer.concat([size, text, bytes.subarray(8 + headerBytes)]))
}
