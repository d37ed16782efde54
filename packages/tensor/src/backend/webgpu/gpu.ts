import { type Device, numberOfDevice } from '../../device.js'
import { MOST_GROUPS } from './kernels/kernel.js'

/** A failure of a WebGPU device: of its memory, of a shader, or of all of it when it is lost. */
export class WebGpuError extends Error {
  override name = 'WebGpuError'
}

/** What the package `webgpu` has. */
interface WebGpuPackage {
  create(options: string[]): GPU
  globals: object
}

/** Limits of an adapter that are asked for as high as it has them. */
const LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
] as const

/** Buffers that one kernel reads and writes. */
const BUFFERS = 9

const opened = new Map<Device, Promise<Gpu>>()
const ready = new Map<Device, Gpu>()

/**
 * Opens a device, once.
 * @throws WebGpuError if there is no package `webgpu`, no such adapter, or one whose limits are too low.
 */
export function openGpu(device: Device): Promise<Gpu> {
  const known = opened.get(device)
  if (known) return known
  const opening = Gpu.open(device)
  opened.set(device, opening)
  opening.then(
    (gpu) => ready.set(device, gpu),
    () => opened.delete(device),
  )
  return opening
}

/** @throws WebGpuError unless the device is open. */
export function gpuOf(device: Device): Gpu {
  const gpu = ready.get(device)
  if (gpu) return gpu
  throw new WebGpuError(`${device} is not open: await openDevice('${device}') first`)
}

/** An adapter that this process uses, and the pipelines that were made for it. */
export class Gpu {
  /** The failure that the device was lost by. */
  #lost: WebGpuError | undefined
  #failure: WebGpuError | undefined
  readonly #pipelines = new Map<string, GPUComputePipeline>()
  readonly #layouts = new Map<number, GPUBindGroupLayout>()

  private constructor(
    readonly name: Device,
    /** Of which vendor it is, and what. */
    readonly description: string,
    readonly device: GPUDevice,
    /** What the device is of, which Dawn does not keep alive itself. */
    readonly instance: GPU,
  ) {
    void device.lost.then(({ reason, message }) => {
      this.#lost = new WebGpuError(
        `${name} (${description}) was lost: ${message || reason}; its tensors and programs are gone: start the process that used it anew`,
      )
    })
    device.addEventListener('uncapturederror', (event) => {
      event.preventDefault()
      const [line] = (event as unknown as { error: GPUError }).error.message.split('\n')
      this.#failure ??= new WebGpuError(`${name} (${description}): ${line}`)
    })
  }

  static async open(name: Device): Promise<Gpu> {
    const gpu = await createGpu(name)
    const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' })
    if (!adapter || numberOfDevice(name) > 0) {
      const expected = adapter
        ? 'expected webgpu:0, the one adapter that WebGPU gives a process'
        : 'WebGPU finds no adapter'
      throw new WebGpuError(
        `${name}: ${expected}; it takes a driver of Vulkan, Metal or Direct3D 12 (VK_DRIVER_FILES names one of Vulkan)`,
      )
    }
    const { info, limits } = adapter
    const description = info.description || `${info.vendor} ${info.architecture}`.trim()
    if (limits.maxStorageBuffersPerShaderStage < BUFFERS) {
      const found = limits.maxStorageBuffersPerShaderStage
      throw new WebGpuError(
        `${name} (${description}): expected ${BUFFERS} storage buffers a shader or more, found ${found}`,
      )
    }
    const requiredLimits = Object.fromEntries(LIMITS.map((limit) => [limit, limits[limit]]))
    return new Gpu(name, description, await adapter.requestDevice({ requiredLimits }), gpu)
  }

  /** @throws WebGpuError if the device was lost, or something that it was given before failed. */
  check(): void {
    const failure = this.#lost ?? this.#failure
    this.#failure = undefined
    if (failure) throw failure
  }

  /**
   * Makes buffers or pipelines, whose failures WebGPU tells of later.
   * @param what The name of what is made in errors.
   * @returns What was made, and a promise that is rejected with a WebGpuError if that failed.
   */
  make<T>(what: string, make: () => T): { made: T; ready: Promise<void> } {
    const kinds = ['validation', 'out-of-memory', 'internal'] as const
    for (const kind of kinds) this.device.pushErrorScope(kind)
    try {
      const made = make()
      return { made, ready: this.#endScopes(what, kinds.length) }
    } catch (error) {
      void this.#endScopes(what, kinds.length).catch(() => {})
      throw error
    }
  }

  async #endScopes(what: string, count: number): Promise<void> {
    const errors = await Promise.all(Array.from({ length: count }, () => this.device.popErrorScope()))
    this.check()
    const error = errors.find((found) => found !== null)
    if (!error) return
    const remedy =
      error.constructor.name === 'GPUOutOfMemoryError'
        ? ': split the model over more workers, or give less memory to its cache'
        : ''
    throw new WebGpuError(`${this.name} (${this.description}): ${what}: ${error.message.split('\n')[0]}${remedy}`)
  }

  /**
   * Zeroed memory, in whole words.
   * @throws WebGpuError if it is more than the adapter takes at once.
   */
  allocate(bytes: number, what: string): GPUBuffer {
    this.check()
    const size = Math.max(4, Math.ceil(bytes / 4) * 4)
    const most = Math.min(this.device.limits.maxBufferSize, this.device.limits.maxStorageBufferBindingSize)
    if (size > most) {
      throw new WebGpuError(
        `${this.name} (${this.description}) takes at most ${most} bytes in one piece; ${what} has ${size}: split the model over more workers`,
      )
    }
    const { STORAGE, COPY_SRC, COPY_DST } = BUFFER_USAGE
    return this.device.createBuffer({ size, usage: STORAGE | COPY_SRC | COPY_DST })
  }

  /**
   * Does what the device has been asked to, and waits for it.
   * @throws WebGpuError as {@link check} does, where memory ran out for example.
   */
  async settle(): Promise<void> {
    await this.device.queue.onSubmittedWorkDone()
    this.check()
  }

  /** A compiled shader that uses so many buffers. */
  pipelineOf(source: string, buffers: number): GPUComputePipeline {
    const known = this.#pipelines.get(source)
    if (known) return known
    const module = this.device.createShaderModule({ code: source })
    const layout = this.device.createPipelineLayout({ bindGroupLayouts: [this.layoutOf(buffers)] })
    const pipeline = this.device.createComputePipeline({ layout, compute: { module, entryPoint: 'main' } })
    this.#pipelines.set(source, pipeline)
    return pipeline
  }

  /** The bindings of a kernel: the symbols of a run, then so many buffers. */
  layoutOf(buffers: number): GPUBindGroupLayout {
    const known = this.#layouts.get(buffers)
    if (known) return known
    const entry = (binding: number, type: GPUBufferBindingType) => ({ binding, visibility: COMPUTE, buffer: { type } })
    const entries = Array.from({ length: buffers + 1 }, (_, i) => entry(i, i === 0 ? 'uniform' : 'storage'))
    const layout = this.device.createBindGroupLayout({ entries })
    this.#layouts.set(buffers, layout)
    return layout
  }
}

/** Workgroups as a dispatch takes them: in two dimensions, where they are more than one takes. */
export function foldGroups(groups: number): [x: number, y: number] {
  return groups <= MOST_GROUPS ? [groups, 1] : [MOST_GROUPS, Math.ceil(groups / MOST_GROUPS)]
}

/** GPUBufferUsage, which is a global of browsers alone. */
export const BUFFER_USAGE = { MAP_READ: 1, COPY_SRC: 4, COPY_DST: 8, UNIFORM: 64, STORAGE: 128 } as const
/** GPUMapMode. */
export const MAP_READ = 1
/** GPUShaderStage. */
const COMPUTE = 4

async function createGpu(name: Device): Promise<GPU> {
  try {
    // Not known to the compiler of users who have no such package.
    const specifier = 'webgpu'
    const { create } = (await import(specifier)) as WebGpuPackage
    return create([])
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ERR_MODULE_NOT_FOUND') {
      throw new WebGpuError(`${name} takes the package webgpu, which is not installed: npm install webgpu`)
    }
    throw new WebGpuError(`${name}: the package webgpu does not load: ${message.split('\n')[0]}`)
  }
}
