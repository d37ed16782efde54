import { Program as NativeProgram, type ProgramDescription, Storage } from '@troupe/native'
import { bytesOfRows, viewElements } from '../../data-type.js'
import type { OperationProfile } from '../../program.js'
import type { CompileOptions, TracedOperation, Value } from '../../trace-operands.js'
import { mostBytes } from '../../value-shape.js'
import type { Executable, TracedProgram } from '../backend.js'
import { lowerSequenceAttention } from '../lower-attention.js'
import { describe, type NativeForm } from '../native-description.js'
import { nativeStorage } from '../native-memory.js'
import { isChecked, makeDeviceParts, type Part } from './device-parts.js'
import type { Gpu } from './gpu.js'
import { indicesOf, isOfTheHost } from './kernels/index.js'
import { mapped, writeBytes } from './memory.js'
import { type Division, divide } from './segments.js'

/**
 * A program on a WebGPU device. Segments of the device are submitted as one; between them the host does what is between ranks, and
 * sampling, on memory that other processes can map.
 */
export class GpuExecutable implements Executable {
  readonly inputs: Record<string, Int32Array | Float32Array> = {}
  readonly outputs: Record<string, Float32Array> = {}
  readonly #traced: TracedProgram
  readonly #division: Division
  readonly #parts: readonly Part[]
  readonly #host: Storage
  readonly #native: NativeProgram
  readonly #arena: GPUBuffer
  readonly #symbols: GPUBuffer
  readonly #staging: GPUBuffer | undefined
  readonly #spent: { milliseconds: number; bytes: number }[]
  /** Is rejected if a buffer or a shader of it could not be made. */
  readonly #ready: Promise<void>
  #total = 0
  #cancelled: string | undefined

  constructor(
    private readonly gpu: Gpu,
    program: TracedProgram,
    { threads }: CompileOptions,
  ) {
    const traced = lowerSequenceAttention(program)
    expectGivenIndices(traced)
    this.#traced = traced
    this.#division = divide(traced, gpu.device.limits.minStorageBufferOffsetAlignment)
    const { onHost } = this.#division
    this.#host = new Storage(Math.max(1, onHost.arenaBytes), true)
    this.#native = new NativeProgram(this.#description(), threads)
    const { made, ready } = gpu.make('a program', () => makeDeviceParts(gpu, traced, this.#division))
    this.#arena = made.arena
    this.#symbols = made.symbols
    this.#staging = made.staging
    this.#parts = made.parts
    this.#spent = made.parts.map(() => ({ milliseconds: 0, bytes: 0 }))
    this.#ready = ready
    ready.catch(() => {})
    for (const value of traced.values) {
      if (value.input) this.inputs[value.input] = this.#view(value, value.type as 'int32' | 'float32')
    }
    for (const [name, value] of Object.entries(traced.outputs)) {
      this.outputs[name] = this.#view(value, 'float32') as Float32Array
    }
  }

  get statistics(): Executable['statistics'] {
    const { waiting, transfer } = this.#native.statistics
    return { busy: this.#total - waiting - transfer, waiting, transfer }
  }

  /** What the host did, operation by operation, and each segment of the device as one. */
  profile(): OperationProfile[] {
    const native = this.#native.profile()
    return this.#parts.flatMap((part, i): OperationProfile[] => {
      if (part.isOfTheHost) return native.slice(part.first, part.last)
      const { milliseconds, bytes } = this.#spent[i]!
      return [{ operation: 'webgpu', columnsIn: 0, columnsOut: 0, milliseconds, bytes }]
    })
  }

  async run(counts: number[]): Promise<void> {
    if (this.#cancelled !== undefined) throw new Error(this.#cancelled)
    this.#native.check(counts)
    const began = performance.now()
    try {
      await this.#ready
      await this.#runParts(counts)
    } catch (error) {
      // Other ranks would wait for what this one will not do.
      this.cancel((error as Error).message)
      throw error
    }
    this.#total += performance.now() - began
  }

  async #runParts(counts: number[]): Promise<void> {
    this.gpu.check()
    const { queue } = this.gpu.device
    if (counts.length > 0) queue.writeBuffer(this.#symbols, 0, Uint32Array.from(counts))
    for (const value of this.#division.uploaded) this.#upload(value, counts)
    let isDone = false
    for (const [i, part] of this.#parts.entries()) {
      if (part.isOfTheHost) await this.#runOnHost(part, counts)
      isDone = part.isOfTheHost ? part.leaves.length === 0 : await this.#runOnDevice(part, counts, i)
    }
    if (!isDone) await this.gpu.settle()
  }

  cancel(reason: string): void {
    this.#cancelled = reason
    this.#native.cancel(reason)
  }

  async #runOnHost({ first, last, leaves }: Part, counts: number[]): Promise<void> {
    await this.#native.run(counts, first, last)
    for (const value of leaves) this.#upload(value, counts)
  }

  /** @returns Whether it has waited for the device. */
  async #runOnDevice({ steps, leaves }: Part, counts: number[], index: number): Promise<boolean> {
    const began = performance.now()
    const { device } = this.gpu
    const encoder = device.createCommandEncoder()
    const pass = encoder.beginComputePass()
    for (const step of steps) step.encode(pass, (value) => rowsOf(value, counts))
    pass.end()
    let size = 0
    const places = leaves.map((value) => {
      const place = { value, at: size, bytes: bytesOf(value, counts) }
      if (place.bytes > 0) {
        encoder.copyBufferToBuffer(
          this.#arena,
          this.#division.onDevice.offsets.get(value)!,
          this.#staging!,
          size,
          place.bytes,
        )
      }
      size += place.bytes
      return place
    })
    device.queue.submit([encoder.finish()])
    if (size > 0) {
      await mapped(this.gpu, this.#staging!, size)
      const found = new Uint8Array(this.#staging!.getMappedRange(0, size))
      const host = new Uint8Array(this.#host.buffer)
      for (const { value, at, bytes } of places) {
        host.set(found.subarray(at, at + bytes), this.#division.onHost.offsets.get(value)!)
      }
      this.#staging!.unmap()
    }
    const spent = this.#spent[index]!
    spent.milliseconds += performance.now() - began
    spent.bytes += sum(steps.map((step) => step.bytes((value) => rowsOf(value, counts))))
    return size > 0
  }

  #upload(value: Value, counts: number[]): void {
    const { onHost, onDevice } = this.#division
    const bytes = new Uint8Array(this.#host.buffer, onHost.offsets.get(value)!, bytesOf(value, counts))
    writeBytes(this.gpu, this.#arena, onDevice.offsets.get(value)!, bytes)
  }

  #view(value: Value, type: 'int32' | 'float32'): Int32Array | Float32Array {
    return viewElements(type, this.#host.buffer, this.#division.onHost.offsets.get(value)!, mostBytes(value))
  }

  /** What native code runs, and what it checks for the device. */
  #description(): ProgramDescription {
    const { symbols, values, operations } = this.#traced
    const memoryOf = (value: Value) => {
      const onHost = this.#division.onHost.offsets.get(value)
      if (onHost !== undefined) return { offset: onHost, storage: this.#host }
      const { tensor } = value
      if (tensor?.device === 'cpu') return { offset: tensor.offset, storage: nativeStorage(tensor.storage) }
      // Memory of the device has no place here, and none of the arena is touched.
      return { offset: 0 }
    }
    const formOf = ({ name, inputs }: TracedOperation): NativeForm => {
      const isElsewhere = !isOfTheHost(name)
      return name === 'partialAttention' ? { name: 'attention', outputs: [inputs[0]!], isElsewhere } : { isElsewhere }
    }
    const arenaBytes = Math.max(0, ...values.map(mostBytes))
    return describe({ symbols, values, operations: operations.filter(isChecked) }, arenaBytes, memoryOf, formOf)
  }
}

function rowsOf({ rows }: Value, counts: readonly number[]): number {
  return typeof rows === 'number' ? rows : counts[rows.index]!
}

function bytesOf(value: Value, counts: readonly number[]): number {
  return bytesOfRows(value.type, rowsOf(value, counts), value.columns)
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0)
}

/** @throws TypeError for an operation of the device whose indices the host, which checks them, does not have before a run */
function expectGivenIndices({ operations }: TracedProgram): void {
  const computed = new Set(operations.flatMap(({ outputs }) => outputs))
  for (const { name, inputs } of operations) {
    for (const value of indicesOf(name).map((index) => inputs[index]!)) {
      const isElsewhere = value.tensor && value.tensor.device !== 'cpu'
      if (!isElsewhere && !computed.has(value)) continue
      const found = isElsewhere ? `a constant on ${value.tensor!.device}` : 'some that the program computes'
      throw new TypeError(`${name}: webgpu takes indices that are inputs or constants of the host, found ${found}`)
    }
  }
}
