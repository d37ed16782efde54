import { gpuCount } from '@troupe/native'
import { shown } from './elements.js'

/** The kinds of devices. */
export const DEVICE_KINDS = ['cpu', 'cuda', 'webgpu'] as const
/** One of {@link DEVICE_KINDS}. */
export type DeviceKind = (typeof DEVICE_KINDS)[number]

/** The kinds of devices that programs run on. */
export const PROGRAM_DEVICES = ['cpu', 'webgpu'] as const
/** One of {@link PROGRAM_DEVICES}. */
export type ProgramDevice = (typeof PROGRAM_DEVICES)[number]

/**
 * The place of a tensor's elements, and where a program runs: host memory, an NVIDIA GPU by its number among those that this
 * process may use, or an adapter of WebGPU by its number.
 */
export type Device = 'cpu' | `cuda:${number}` | `webgpu:${number}`

/** A device, or a kind of devices for the first of that kind. */
export type DeviceName = Device | DeviceKind

/**
 * A device by its name: `cuda` is `cuda:0`.
 * @throws RangeError if it is no device's name.
 */
export function toDevice(name: DeviceName = 'cpu'): Device {
  if (name === 'cpu') return name
  const [, kind, number = '0'] = typeof name === 'string' ? (/^(cuda|webgpu)(?::(\d{1,9}))?$/.exec(name) ?? []) : []
  const device = `${kind}:${Number(number)}`
  if (kind === undefined || (name !== kind && name !== device)) {
    throw new RangeError(
      `a device is cpu, cuda, webgpu, or one of the last two, a colon and a number; found ${shown(name)}`,
    )
  }
  return device as Device
}

/** The kind of a device. */
export function kindOf(device: Device): DeviceKind {
  return device.split(':')[0] as DeviceKind
}

/** The number of a device among those of its kind. */
export function numberOfDevice(device: Device): number {
  return Number(device.split(':')[1] ?? 0)
}

/** The number of GPUs that this process may use; 0 if there is no driver for any. CUDA_VISIBLE_DEVICES chooses among them. */
export function countGpus(): number {
  try {
    return gpuCount()
  } catch {
    return 0
  }
}
