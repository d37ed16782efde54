import { type Device, type DeviceName, kindOf, toDevice } from '../device.js'
import type { Backend } from './backend.js'
import { cpuBackend } from './cpu/cpu-backend.js'
import { cudaBackend } from './cuda/cuda-backend.js'

const backends: { cpu: Backend; cuda: Backend; webgpu?: Backend } = { cpu: cpuBackend, cuda: cudaBackend }

/**
 * What computes on a device.
 * @throws Error if it has to be opened first.
 */
export function backendOf(device: Device): Backend {
  const kind = kindOf(device)
  const backend = backends[kind]
  if (!backend) throw new Error(`${device} is not open; await openDevice('${device}') first`)
  return backend
}

/**
 * Opens a device, so that tensors can be made on it and programs run there, or finds it open.
 * @returns Its full name: `cuda:0` for `cuda`.
 * @throws RangeError if it is no device's name; Error, which says what is missing, if there is no such device.
 */
export async function openDevice(name: DeviceName): Promise<Device> {
  const device = toDevice(name)
  await backendOf(device).open(device)
  return device
}
