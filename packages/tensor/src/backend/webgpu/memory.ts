import type { Device } from '../../device.js'
import type { Memory, Region } from '../backend.js'
import { nativeStorage } from '../native-memory.js'
import { BUFFER_USAGE, type Gpu, MAP_READ } from './gpu.js'

/** Memory of a WebGPU device that tensors view. */
export class GpuMemory implements Memory {
  readonly handle = undefined
  readonly buffers: GPUBuffer
  /** Is rejected if there was no room for it. */
  readonly ready: Promise<void>

  constructor(
    readonly gpu: Gpu,
    readonly bytes: number,
  ) {
    const { made, ready } = gpu.make(`a tensor of ${bytes} bytes`, () => gpu.allocate(bytes, 'a tensor'))
    this.buffers = made
    this.ready = ready
    ready.catch(() => {})
  }

  get device(): Device {
    return this.gpu.name
  }

  get buffer(): ArrayBuffer {
    throw new Error(`a tensor on ${this.device} cannot be read or written in place; copy it with to('cpu')`)
  }

  verify(): void {}

  release(): void {
    this.buffers.destroy()
  }
}

/** Writes bytes of the host at a multiple of 4, in pieces; a last word that they do not fill takes zeros. */
export function writeBytes(gpu: Gpu, to: GPUBuffer, offset: number, bytes: Uint8Array): void {
  const whole = bytes.byteLength & ~3
  for (let at = 0; at < whole; at += PIECE) {
    const size = Math.min(PIECE, whole - at)
    gpu.device.queue.writeBuffer(to, offset + at, bytes as Uint8Array<ArrayBuffer>, at, size)
  }
  if (whole === bytes.byteLength) return
  const last = new Uint8Array(4)
  last.set(bytes.subarray(whole))
  gpu.device.queue.writeBuffer(to, offset + whole, last)
}

const PIECE = 2 ** 24

/** Copies bytes of a device to others, or to or from the host, wherever they begin. */
export async function copyRegion(from: Region, to: Region): Promise<void> {
  const [source, target] = [from.storage, to.storage]
  for (const memory of [source, target]) if (memory instanceof GpuMemory) await memory.ready
  if (source instanceof GpuMemory && target instanceof GpuMemory && isAligned(from) && isAligned(to)) {
    const encoder = source.gpu.device.createCommandEncoder()
    encoder.copyBufferToBuffer(source.buffers, from.offset, target.buffers, to.offset, from.bytes)
    source.gpu.device.queue.submit([encoder.finish()])
    return source.gpu.settle()
  }
  const bytes = source instanceof GpuMemory ? await readBytes(source, from) : bytesOf(from)
  if (!(target instanceof GpuMemory)) return bytesOf(to).set(bytes)
  // Words that are not written as a whole keep the rest of what they had.
  const first = to.offset & ~3
  const end = (to.offset + to.bytes + 3) & ~3
  const whole = isAligned(to) ? bytes : await readBytes(target, { ...to, offset: first, bytes: end - first })
  if (whole !== bytes) whole.set(bytes, to.offset - first)
  target.gpu.check()
  writeBytes(target.gpu, target.buffers, first, whole)
  return target.gpu.settle()
}

function isAligned({ offset, bytes }: Region): boolean {
  return offset % 4 === 0 && bytes % 4 === 0
}

/** Reads bytes of a device, wherever they begin. */
export async function readBytes({ gpu, buffers }: GpuMemory, { offset, bytes }: Region): Promise<Uint8Array> {
  gpu.check()
  if (bytes === 0) return new Uint8Array(0)
  const first = offset & ~3
  const size = ((offset + bytes + 3) & ~3) - first
  const staging = gpu.device.createBuffer({ size, usage: BUFFER_USAGE.MAP_READ | BUFFER_USAGE.COPY_DST })
  const encoder = gpu.device.createCommandEncoder()
  encoder.copyBufferToBuffer(buffers, first, staging, 0, size)
  gpu.device.queue.submit([encoder.finish()])
  try {
    await mapped(gpu, staging, size)
    return new Uint8Array(staging.getMappedRange(0, size)).slice(offset - first, offset - first + bytes)
  } finally {
    staging.destroy()
  }
}

/** Waits until a staging buffer can be read. */
export async function mapped(gpu: Gpu, staging: GPUBuffer, size: number): Promise<void> {
  try {
    await staging.mapAsync(MAP_READ, 0, size)
  } catch (error) {
    // A lost device says why a moment later.
    await new Promise((resolve) => setImmediate(resolve))
    gpu.check()
    throw error
  }
  gpu.check()
}

function bytesOf({ storage, offset, bytes }: Region): Uint8Array {
  return new Uint8Array(nativeStorage(storage).buffer, offset, bytes)
}
