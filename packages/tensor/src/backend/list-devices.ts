import { availableParallelism } from 'node:os'
import { gpuCount, gpuName, kernelName, ncclVersion } from '@troupe/native'
import type { Device, DeviceKind } from '../device.js'
import { openDevice } from './open-device.js'

/** The devices of one kind that this process may use, or why there are none. */
export interface DeviceReport {
  kind: DeviceKind
  devices: { name: Device; description: string }[]
  /** What is missing, and what to do, where there is no device, or not all that it takes. */
  missing?: string
}

/** Looks for the devices of every kind that this process may use. */
export async function listDevices(): Promise<DeviceReport[]> {
  const cores = availableParallelism()
  const cpu: DeviceReport = {
    kind: 'cpu',
    devices: [{ name: 'cpu', description: `${cores} ${cores === 1 ? 'core' : 'cores'}, kernels for ${kernelName()}` }],
  }
  return [cpu, cudaDevices(), await webGpuDevices()]
}

function cudaDevices(): DeviceReport {
  const report: DeviceReport = { kind: 'cuda', devices: [] }
  try {
    const count = gpuCount()
    for (let i = 0; i < count; i++) report.devices.push({ name: `cuda:${i}`, description: gpuName(i) })
    if (count === 0) return { ...report, missing: 'the driver has no GPU for this process (CUDA_VISIBLE_DEVICES)' }
  } catch (error) {
    return { ...report, missing: lineOf(error) }
  }
  try {
    ncclVersion()
    return report
  } catch (error) {
    return { ...report, missing: lineOf(error) }
  }
}

async function webGpuDevices(): Promise<DeviceReport> {
  try {
    const name = await openDevice('webgpu')
    const { gpuOf } = await import('./webgpu/gpu.js')
    return { kind: 'webgpu', devices: [{ name, description: gpuOf(name).description }] }
  } catch (error) {
    return { kind: 'webgpu', devices: [], missing: lineOf(error) }
  }
}

function lineOf(error: unknown): string {
  return (error as Error).message.split('\n')[0]!
}
