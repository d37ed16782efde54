import { copyBytes, Storage } from '@troupe/native'
import { type Device, numberOfDevice } from '../../device.js'
import type { CompileOptions } from '../../trace.js'
import type { Backend, Executable, Memory, Region, TracedProgram } from '../backend.js'
import { nativeRegion } from '../native-memory.js'

/** Memory of NVIDIA GPUs. */
export const cudaBackend: Backend = {
  packsWeights: false,

  isOfTheHost: () => false,

  async open(device: Device): Promise<void> {
    new Storage({ gpu: numberOfDevice(device), bytes: 0 }).release()
  },

  allocate(device: Device, bytes: number): Memory {
    return new Storage({ gpu: numberOfDevice(device), bytes })
  },

  copy(from: Region, to: Region): Promise<void> {
    return copyBytes(nativeRegion(from), nativeRegion(to))
  },

  compute(device: Device): void {
    throw new TypeError(`tensors are not computed on ${device} yet: copy them with to('cpu')`)
  },

  compile(device: Device, _traced: TracedProgram, _options: CompileOptions): Executable {
    throw new TypeError(`programs do not run on ${device} yet: copy its tensors with to('cpu'), or to('webgpu')`)
  },
}
