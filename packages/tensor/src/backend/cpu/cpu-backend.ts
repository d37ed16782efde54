import { type ArrayOperand, compute, copyBytes, Program as NativeProgram, Storage } from '@troupe/native'
import type { ArrayOperation } from '../../array/operations.js'
import { viewElements } from '../../data-type.js'
import type { Device } from '../../device.js'
import type { Tensor } from '../../tensor.js'
import type { CompileOptions, Value } from '../../trace.js'
import { mostBytes } from '../../value-shape.js'
import type { Backend, Executable, Memory, Region, TracedProgram } from '../backend.js'
import { fuse } from '../fuse.js'
import { describe } from '../native-description.js'
import { nativeRegion, nativeStorage } from '../native-memory.js'
import { placeValues } from '../place-values.js'

const ALIGNMENT = 64
const IN_PLACE = new Set(['add', 'siluMultiply', 'rotate', 'allReduce'])

/** Programs in host memory, on threads of native code. */
export const cpuBackend: Backend = {
  packsWeights: true,

  isOfTheHost: () => true,

  async open(): Promise<void> {},

  allocate(_device: Device, bytes: number): Memory {
    return new Storage(bytes, false)
  },

  copy(from: Region, to: Region): Promise<void> {
    return copyBytes(nativeRegion(from), nativeRegion(to))
  },

  compute(_device: Device, { name, geometry, inputs }: ArrayOperation<Tensor>, result: Tensor): void {
    compute(name, geometry, inputs.map(operandOf), operandOf(result))
  },

  compile(_device: Device, traced: TracedProgram, options: CompileOptions): Executable {
    return compileOnCpu(traced, options)
  },
}

function operandOf({ dtype, size, offset, storage }: Tensor): ArrayOperand {
  return { type: dtype, elements: size, offset, storage: nativeStorage(storage) }
}

/**
 * Compiles a traced program for the CPU.
 * @param join Joins operations.
 */
export function compileOnCpu(traced: TracedProgram, { threads, cores }: CompileOptions, join = fuse): Executable {
  const { symbols, values, outputs } = traced
  const operations = join(traced.operations, new Set(Object.values(outputs)))
  const { offsets, arenaBytes } = placeValues(
    { values, operations, outputs },
    { alignment: ALIGNMENT, inPlace: IN_PLACE },
  )
  const description = describe({ symbols, values, operations }, arenaBytes, (value) =>
    value.tensor
      ? { offset: value.tensor.offset, storage: nativeStorage(value.tensor.storage) }
      : { offset: offsets.get(value) ?? 0 },
  )
  const native = new NativeProgram(description, threads, cores)
  const inArena = (value: Value, type: 'int32' | 'float32') =>
    viewElements(type, native.arena, offsets.get(value)!, mostBytes(value))
  const inputs: Record<string, Int32Array | Float32Array> = {}
  for (const value of values) {
    if (value.input) inputs[value.input] = inArena(value, value.type as 'int32' | 'float32')
  }
  const views = Object.entries(outputs).map(([name, value]) => [name, inArena(value, 'float32') as Float32Array])
  return new CpuExecutable(native, inputs, Object.fromEntries(views))
}

class CpuExecutable implements Executable {
  constructor(
    private readonly native: NativeProgram,
    readonly inputs: Executable['inputs'],
    readonly outputs: Executable['outputs'],
  ) {}

  get statistics(): Executable['statistics'] {
    return this.native.statistics
  }

  profile(): ReturnType<Executable['profile']> {
    return this.native.profile()
  }

  run(counts: number[]): Promise<void> {
    return this.native.run(counts)
  }

  cancel(reason: string): void {
    this.native.cancel(reason)
  }
}
