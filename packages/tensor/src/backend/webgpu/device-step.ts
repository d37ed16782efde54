import { bytesOfRows } from '../../data-type.js'
import type { TracedOperation, Value } from '../../trace-operands.js'
import { foldGroups, type Gpu } from './gpu.js'
import { kernelsOf } from './kernels/index.js'
import { type Binding, type Kernel, sourceOf } from './kernels/kernel.js'

/** Part of a buffer. */
interface Place {
  buffer: GPUBuffer
  offset: number
  size: number
}

/** One kernel of an operation, with its buffers. */
export class DeviceStep {
  private constructor(
    private readonly kernel: Kernel,
    private readonly pipeline: GPUComputePipeline,
    private readonly buffers: GPUBindGroup,
  ) {}

  /** The kernels of an operation. */
  static of(
    gpu: Gpu,
    operation: TracedOperation,
    symbols: number,
    uniforms: GPUBuffer,
    placeOf: (value: Value) => Place,
  ): DeviceStep[] {
    return kernelsOf(operation).map((made) => {
      const kernel = withoutAliases(made)
      const pipeline = gpu.pipelineOf(sourceOf(kernel, symbols), kernel.bindings.length)
      const entries = [
        { binding: 0, resource: { buffer: uniforms } },
        ...kernel.bindings.map(({ value }, i) => ({ binding: i + 1, resource: placeOf(value) })),
      ]
      const layout = gpu.layoutOf(kernel.bindings.length)
      return new DeviceStep(kernel, pipeline, gpu.device.createBindGroup({ layout, entries }))
    })
  }

  /** Adds it to a pass, if a run has something for it to do. */
  encode(pass: GPUComputePassEncoder, rowsOf: (value: Value) => number): void {
    const groups = this.kernel.groups(rowsOf)
    if (groups === 0) return
    pass.setPipeline(this.pipeline)
    pass.setBindGroup(0, this.buffers)
    pass.dispatchWorkgroups(...foldGroups(groups))
  }

  /** Bytes of its operands in a run, if it has something to do. */
  bytes(rowsOf: (value: Value) => number): number {
    if (this.kernel.groups(rowsOf) === 0) return 0
    const sizes = this.kernel.bindings.map(({ value }) => bytesOfRows(value.type, rowsOf(value), value.columns))
    return sizes.reduce((a, b) => a + b, 0)
  }
}

/** A kernel each of whose values has one name, as a shader may not write to what it knows by two. */
function withoutAliases(kernel: Kernel): Kernel {
  const bindings: Binding[] = []
  let { code } = kernel
  for (const binding of kernel.bindings) {
    const known = bindings.find(({ value }) => value === binding.value)
    if (known) code = code.replaceAll(new RegExp(`\\b${binding.name}\\b`, 'g'), known.name)
    else bindings.push(binding)
  }
  return { ...kernel, code, bindings }
}
