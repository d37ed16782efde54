import type { TracedOperation, Value } from '../../trace-operands.js'
import { mostBytes } from '../../value-shape.js'
import type { TracedProgram } from '../backend.js'
import { DeviceStep } from './device-step.js'
import { BUFFER_USAGE, type Gpu, WebGpuError } from './gpu.js'
import { GpuMemory, writeBytes } from './memory.js'
import type { Division, Segment } from './segments.js'

/** A segment, and what it takes to run it. */
export interface Part extends Segment {
  /** Of a segment of the device. */
  steps: readonly DeviceStep[]
  /** Of a segment of the host: its operations, as [first, last) of the native program's. */
  first: number
  last: number
}

/** What a program has on its device. */
export interface DeviceParts {
  parts: Part[]
  /** The values that are no constants. */
  arena: GPUBuffer
  /** The symbols of a run. */
  symbols: GPUBuffer
  /** Memory that the host reads what a segment leaves in; none where none leaves anything. */
  staging: GPUBuffer | undefined
}

/** Whether native code checks the indices of an operation, and so knows it. */
export function isChecked({ name }: TracedOperation): boolean {
  return name !== 'joinAttention'
}

/** Makes the buffers, shaders and bindings of a program. */
export function makeDeviceParts(
  gpu: Gpu,
  { operations, symbols: traced }: TracedProgram,
  division: Division,
): DeviceParts {
  const { onDevice, segments } = division
  const arena = gpu.allocate(onDevice.arenaBytes, 'the memory of a program')
  const { UNIFORM, COPY_DST, MAP_READ } = BUFFER_USAGE
  const symbols = gpu.device.createBuffer({
    size: 16 * Math.max(1, Math.ceil(traced.length / 4)),
    usage: UNIFORM | COPY_DST,
  })
  const constants = uploadConstants(gpu, segments)
  const placeOf = (value: Value) => ({
    buffer: constants.get(value)?.buffer ?? arena,
    offset: constants.get(value)?.offset ?? onDevice.offsets.get(value)!,
    size: Math.max(4, Math.ceil(mostBytes(value) / 4) * 4),
  })
  const numberOf = (i: number) => operations.slice(0, i).filter(isChecked).length
  const parts = segments.map((segment) => ({
    ...segment,
    first: numberOf(segment.begin),
    last: numberOf(segment.end),
    steps: segment.isOfTheHost
      ? []
      : segment.operations.flatMap((operation) => DeviceStep.of(gpu, operation, traced.length, symbols, placeOf)),
  }))
  const left = parts
    .filter((part) => !part.isOfTheHost)
    .map(({ leaves }) => leaves.reduce((sum, value) => sum + mostBytes(value), 0))
  const size = Math.max(0, ...left)
  const staging = size > 0 ? gpu.device.createBuffer({ size, usage: MAP_READ | COPY_DST }) : undefined
  return { parts, arena, symbols, staging }
}

/** Where constants of operations of the device are: there, or in copies. */
function uploadConstants(gpu: Gpu, segments: readonly Segment[]): Map<Value, { buffer: GPUBuffer; offset: number }> {
  const used = segments.flatMap((segment) => (segment.isOfTheHost ? [] : segment.operations))
  const constants = new Map<Value, { buffer: GPUBuffer; offset: number }>()
  for (const value of new Set(used.flatMap(({ inputs }) => inputs))) {
    if (!value.tensor || constants.has(value)) continue
    const { storage, offset } = value.tensor
    if (storage instanceof GpuMemory && offset % gpu.device.limits.minStorageBufferOffsetAlignment === 0) {
      constants.set(value, { buffer: storage.buffers, offset })
    } else if (storage instanceof GpuMemory) {
      throw new WebGpuError(
        `a constant of a program begins within a tensor on ${gpu.name}, at byte ${offset}: copy it into one of its own`,
      )
    } else {
      const buffer = gpu.allocate(mostBytes(value), 'a constant')
      writeBytes(gpu, buffer, 0, value.tensor.bytes)
      value.tensor.verify()
      constants.set(value, { buffer, offset: 0 })
    }
  }
  return constants
}
