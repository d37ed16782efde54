import { type Device, kindOf } from '../device.js'
import type { Backend } from './backend.js'
import { cpuBackend } from './cpu/cpu-backend.js'
import { cudaBackend } from './cuda/cuda-backend.js'

const backends: { cpu: Backend; cuda: Backend; webgpu?: Backend } = { cpu: cpuBackend, cuda: cudaBackend }

/** Has a backend that is loaded when it is needed compute on its devices. */
export function register(kind: 'webgpu', backend: Backend): void {
  backends[kind] = backend
}

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
