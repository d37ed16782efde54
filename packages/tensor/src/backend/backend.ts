import type { SharedMemoryHandle } from '@troupe/native'
import type { ArrayOperation } from '../array/operations.js'
import type { Device } from '../device.js'
import type { OperationProfile, ProgramStatistics } from '../program.js'
import type { Tensor } from '../tensor.js'
import type { CompileOptions, RowSymbol, TracedOperation, Value } from '../trace.js'

/** Memory of a device that tensors view. */
export interface Memory {
  readonly device: Device
  /** The memory itself, where it is of the host. */
  readonly buffer: ArrayBuffer
  /** The handle by which another process of this host can map it; undefined for memory that cannot be mapped. */
  readonly handle: SharedMemoryHandle | undefined
  /** @throws Error if it is part of a file that was changed since. */
  verify(): void
  /** Lets go of it before the garbage collector does. */
  release(): void
}

/** Part of a memory. */
export interface Region {
  storage: Memory
  /** Bytes from its start. */
  offset: number
  bytes: number
}

/** A traced program, without a device: what is to be computed, in order, and which values JavaScript reads afterwards. */
export interface TracedProgram {
  symbols: readonly RowSymbol[]
  values: readonly Value[]
  operations: readonly TracedOperation[]
  outputs: Readonly<Record<string, Value>>
}

/** A program that a backend has compiled. One run at a time. */
export interface Executable {
  /** The memory of the host from which a run takes an input, by its name: as many elements as its limits say. */
  readonly inputs: Readonly<Record<string, Int32Array | Float32Array>>
  /** The memory of the host in which a run leaves an output. */
  readonly outputs: Readonly<Record<string, Float32Array>>
  /** The time that runs have spent so far. */
  readonly statistics: ProgramStatistics
  /** The same, and the bytes, of each operation. */
  profile(): OperationProfile[]
  /**
   * Runs every operation once.
   * @param counts The value of every symbol, in their order, which are within their limits.
   * @throws RangeError, with nothing done, for an index that is outside of its bounds.
   */
  run(counts: number[]): Promise<void>
  /** Makes a run that waits for other ranks fail with `reason`, and every later one. */
  cancel(reason: string): void
}

/** What computes on one kind of device. */
export interface Backend {
  /** Whether weights of products lie in memory as its products read them (see PackedWeight), and not as they are stored. */
  readonly packsWeights: boolean
  /** Whether the host does an operation, in its own memory, of programs of the backend's devices. */
  isOfTheHost(operation: string): boolean
  /**
   * Opens a device, or finds it open.
   * @throws Error, which says what is missing, if there is no such device.
   */
  open(device: Device): Promise<void>
  /**
   * Zeroed memory of a device.
   * @throws Error that names the device if there is no such device, or no memory left.
   */
  allocate(device: Device, bytes: number): Memory
  /** Copies bytes between memories of which at least one is of this backend; the others are of the host. */
  copy(from: Region, to: Region): Promise<void>
  /**
   * Does an operation on tensors that are on a device, or numbers on the host. Its result can be read, or used, from then on.
   * @throws TypeError for an operation that the device cannot do, and RangeError for indices outside of their bounds
   */
  compute(device: Device, operation: ArrayOperation<Tensor>, result: Tensor): void
  /**
   * Compiles a traced program whose constants are on a device, or on the host: these, which no operation writes to, are copied.
   * @throws TypeError for an operation that the device cannot do.
   */
  compile(device: Device, traced: TracedProgram, options: CompileOptions): Executable
}
