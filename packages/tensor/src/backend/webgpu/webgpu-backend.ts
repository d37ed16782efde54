import type { ArrayOperation } from '../../array/operations.js'
import type { Device } from '../../device.js'
import type { Tensor } from '../../tensor.js'
import type { CompileOptions } from '../../trace-operands.js'
import type { Backend, Executable, Memory, Region, TracedProgram } from '../backend.js'
import { gpuOf, openGpu } from './gpu.js'
import { GpuExecutable } from './gpu-executable.js'
import { isOfTheHost } from './kernels/index.js'
import { copyRegion, GpuMemory } from './memory.js'

/** Programs on any GPU, through the package `webgpu` (Dawn): shaders in WGSL, with what is between ranks by way of host memory. */
export const webGpuBackend: Backend = {
  packsWeights: false,

  isOfTheHost,

  async open(device: Device): Promise<void> {
    await openGpu(device)
  },

  allocate(device: Device, bytes: number): Memory {
    return new GpuMemory(gpuOf(device), bytes)
  },

  copy(from: Region, to: Region): Promise<void> {
    return copyRegion(from, to)
  },

  compute(device: Device, { name }: ArrayOperation<Tensor>): void {
    throw new TypeError(
      `${name.replace('array.', '')}: tensors are not computed on ${device} yet: copy them with to('cpu')`,
    )
  },

  compile(device: Device, traced: TracedProgram, options: CompileOptions): Executable {
    return new GpuExecutable(gpuOf(device), traced, options)
  },
}
