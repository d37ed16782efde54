import { type Device, type DeviceName, kindOf, toDevice } from '../device.js'
import { backendOf, register } from './backends.js'

/**
 * Opens a device, so that tensors can be made on it and programs run there, or finds it open.
 * @returns Its full name: `cuda:0` for `cuda`.
 * @throws RangeError if it is no device's name; Error, which says what is missing, if there is no such device.
 */
export async function openDevice(name: DeviceName): Promise<Device> {
  const device = toDevice(name)
  if (kindOf(device) === 'webgpu') register('webgpu', (await import('./webgpu/webgpu-backend.js')).webGpuBackend)
  await backendOf(device).open(device)
  return device
}
