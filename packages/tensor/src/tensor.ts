import { inspect } from 'node:util'
import { type SharedMemoryHandle, Storage } from '@troupe/native'
import { ArrayMethods } from './array/array-methods.js'
import type { Scalar } from './array/elementwise-methods.js'
import type { ArrayOperation } from './array/operations.js'
import { stridesOf } from './array/shapes.js'
import type { NumberType } from './array/types.js'
import type { Memory, Region } from './backend/backend.js'
import { backendOf } from './backend/backends.js'
import { bytesOfRows, type DataType, type ElementArray, isQuantized, numberOf, viewElements } from './data-type.js'
import { type Device, type DeviceName, toDevice } from './device.js'
import { expectDataType, expectList, setElements, shown } from './elements.js'

/** Options of a tensor's memory. */
export interface TensorOptions {
  /** `shared` memory (the default) can be mapped by the other processes of the host; `private` memory cannot. */
  memory?: 'shared' | 'private'
  /**
   * `cpu` (the default), or a GPU: `cuda:1`, or `cuda` for the first, of those that CUDA_VISIBLE_DEVICES says; or `webgpu`, which
   * has to be opened with {@link openDevice} before.
   */
  device?: DeviceName
}

/** Memory that was let go of, which arrays over it would keep. */
const released = new WeakSet<Memory>()

/** Memory that is part of a file. */
const mapped = new WeakSet<Memory>()

/** Numbers beside tensors, by their type, which are made once. */
const scalars = new Map<string, Tensor>()
const MOST_SCALARS = 256

/** Elements that a printed tensor shows. */
const SHOWN = 6

/** A handle by which another process of the host can map a tensor. */
export interface TensorHandle {
  dtype: DataType
  shape: number[]
  offset: number
  memory: SharedMemoryHandle
}

/**
 * A dense array of numbers: a dtype, a shape, strides and a device over a storage. Elements lie in row-major order.
 * Tensors in shared memory travel between the processes of a host by handle, without a copy; both sides then see the
 * same elements.
 *
 * @example
 * ```ts
 * const weights = Tensor.zeros('float32', [2, 3])
 * weights.data[0] = 1
 * await actor.scale(weights, 2)   // the actor maps the same memory
 * ```
 */
export class Tensor<T extends DataType = DataType> extends ArrayMethods<'tensor', T> {
  #view: ElementArray<T> | undefined

  private constructor(
    readonly dtype: T,
    readonly shape: readonly number[],
    private readonly memory: Memory,
    /** Bytes from the storage's start to the first element. */
    readonly offset: number,
  ) {
    super()
  }

  /**
   * A tensor of zeros.
   * @throws RangeError if a dimension is not a whole number of at least 0, or a row of a quantized type is not whole blocks;
   * TypeError for what is no dtype, no shape or no kind of memory; Error if there is no such GPU, no driver for it, or no
   * memory left.
   */
  static zeros<T extends DataType>(dtype: T, shape: readonly number[], options: TensorOptions = {}): Tensor<T> {
    const bytes = bytesOf(dtype, shape)
    const { memory = 'shared' } = options
    if (memory !== 'shared' && memory !== 'private') {
      throw new TypeError(`a tensor's memory: expected shared or private, found ${shown(memory)}`)
    }
    const device = toDevice(options.device)
    const storage =
      device === 'cpu' ? new Storage(bytes, memory === 'shared') : backendOf(device).allocate(device, bytes)
    return new Tensor(dtype, [...shape], storage, 0)
  }

  /**
   * A tensor in host memory with a copy of `values`: of numbers, which float32 rounds; of bigints for int64; for float16 and
   * bfloat16 of their bits, and of bytes for quantized types.
   * @throws RangeError if `values` has another number of elements than `shape` says, or one that the dtype cannot hold, such
   * as 1.5 or NaN for int32; TypeError for other things than numbers.
   */
  static from<T extends DataType>(
    dtype: T,
    shape: readonly number[],
    values: ArrayLike<ElementArray<T>[number]>,
    options: Pick<TensorOptions, 'memory'> = {},
  ): Tensor<T> {
    const tensor = Tensor.zeros(dtype, shape, options)
    const what = `a ${dtype} tensor of shape [${shape}]`
    const { length } = expectList(what, dtype, values)
    if (length !== tensor.data.length) {
      throw new RangeError(`a tensor of shape [${shape}] takes ${tensor.data.length} values; found ${length}`)
    }
    setElements(what, dtype, tensor.data, values)
    return tensor
  }

  /**
   * Maps a tensor of another process of this host.
   * @throws Error if the process that owns it has ended or released it.
   */
  static open(handle: TensorHandle): Tensor {
    return new Tensor(handle.dtype, handle.shape, new Storage(handle.memory), handle.offset)
  }

  /**
   * A tensor over part of an open file, in place: its pages are read when first touched, and writes stay in this process.
   * A file that is changed meanwhile makes whatever uses the tensor from then on fail with an error that names the file:
   * reading its elements, copying or sending it, the runs of programs. See {@link verify}.
   * @param region The file's descriptor, which may be closed afterwards, and the byte at which the elements start, of
   * which `data` takes only multiples of an element's size.
   * @throws Error if the file does not reach as far as the tensor.
   */
  static map<T extends DataType>(
    dtype: T,
    shape: readonly number[],
    { fd, offset }: { fd: number; offset: number },
  ): Tensor<T> {
    const storage = new Storage({ fd, offset, bytes: bytesOf(dtype, shape) })
    mapped.add(storage)
    return new Tensor(dtype, [...shape], storage, 0)
  }

  /** The place of the elements. */
  get device(): Device {
    return this.memory.device
  }

  /** Its dtype, shape and first elements, as `console.log` shows it. */
  [inspect.custom](): string {
    return `Tensor(${this.dtype} [${this.shape.join(', ')}]${this.#firstElements()})`
  }

  #firstElements(): string {
    if (this.device !== 'cpu') return ` on ${this.device}`
    if (released.has(this.memory)) return ', released'
    if (isQuantized(this.dtype)) return ''
    try {
      const { data } = this
      const first = [...data.subarray(0, SHOWN)].map((element) => numberOf(this.dtype, element))
      return first.length === 0 ? '' : `: ${first.join(', ')}${this.size > SHOWN ? ', …' : ''}`
    } catch {
      return ', unreadable'
    }
  }

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape)
  }

  /** Bytes that the elements take. */
  get byteLength(): number {
    return bytesOf(this.dtype, this.shape)
  }

  /** The number of elements between two neighbours along each dimension. */
  get strides(): number[] {
    return stridesOf(this.shape)
  }

  /**
   * The elements in place; float16 and bfloat16 as their bits, quantized types as the bytes of their blocks. JavaScript itself
   * writes to such an array, and rounds and wraps numbers that do not fit: {@link from} refuses them.
   * @throws Error if they are on a GPU, where `to('cpu')` copies them, or were released.
   */
  get data(): ElementArray<T> {
    if (released.has(this.memory)) throw new Error('this tensor was released')
    this.verify()
    // An array whose memory JavaScript has given to another thread has none left.
    if (this.#view?.buffer.byteLength === 0) this.#view = undefined
    this.#view ??= viewElements(this.dtype, this.memory.buffer, this.offset, this.byteLength)
    return this.#view
  }

  /** The elements' bytes in place; see {@link data}. */
  get bytes(): Uint8Array {
    this.verify()
    return new Uint8Array(this.memory.buffer, this.offset, this.byteLength)
  }

  /**
   * Checks that the file that the elements lie in, if {@link map} made the tensor, is what it was. Elements that were read
   * before are sound if this does not throw afterwards.
   * @throws Error that names the file, and says how long it was and is.
   */
  verify(): void {
    if (mapped.has(this.memory)) this.memory.verify()
  }

  /** The memory that native operations take, which they keep while they use it. @internal */
  get operand(): Region {
    return { storage: this.memory, offset: this.offset, bytes: this.byteLength }
  }

  /**
   * The tensor on a device: itself if it is there, else a copy.
   * @throws Error if there is no such GPU, no driver for it, or no memory left.
   *
   * @example
   * ```ts
   * const onGpu = await gradients.to('cuda')
   * await group.allReduce(onGpu)
   * const summed = await onGpu.to('cpu')
   * ```
   */
  async to(device: DeviceName): Promise<Tensor<T>> {
    if (this.device === toDevice(device)) return this
    const copy = Tensor.zeros(this.dtype, this.shape, { device })
    await copy.copyFrom(this)
    return copy
  }

  /**
   * Copies another tensor's elements into this one, wherever the two are. Both are in use until the promise settles.
   * @throws RangeError if they differ in dtype or size; Error as {@link verify} does for the source.
   */
  async copyFrom(source: Tensor): Promise<void> {
    if (source.dtype !== this.dtype || source.size !== this.size) {
      const expected = `expected a ${this.dtype} tensor of ${this.size} elements`
      throw new RangeError(`${expected}, found a ${source.dtype} tensor of ${source.size}`)
    }
    if (this.device === 'cpu' && source.device === 'cpu') this.bytes.set(source.bytes)
    else await copyBetween(source, this)
    source.verify()
  }

  /** The memory that the elements lie in, perhaps with those of other tensors. */
  get storage(): Memory {
    return this.memory
  }

  /** The handle by which another process of this host can map this tensor; undefined for private memory. */
  get handle(): TensorHandle | undefined {
    const memory = this.memory.handle
    return memory && { dtype: this.dtype, shape: [...this.shape], offset: this.offset, memory }
  }

  /**
   * The same elements under another shape.
   * @throws RangeError if the shapes differ in size.
   */
  reshape(shape: readonly number[]): Tensor<T> {
    if (sizeOf(shape) !== this.size) throw new RangeError(`cannot see [${this.shape}] as [${shape}]`)
    return new Tensor(this.dtype, [...shape], this.memory, this.offset)
  }

  /**
   * The same bytes as elements of another type.
   * @throws RangeError if `shape` takes another number of bytes.
   */
  view<U extends DataType>(dtype: U, shape: readonly number[]): Tensor<U> {
    if (bytesOf(dtype, shape) !== this.byteLength) {
      throw new RangeError(`cannot see ${this.byteLength} bytes as ${dtype} of shape [${shape}]`)
    }
    return new Tensor(dtype, [...shape], this.memory, this.offset)
  }

  /**
   * Entries `start` to `end` (exclusive) of the first dimension, in place.
   * @throws RangeError if they are no whole numbers within it.
   */
  rows(start: number, end: number): Tensor<T> {
    const [count = 0, ...rest] = this.shape
    if (rest.length === 0 && isQuantized(this.dtype))
      throw new TypeError(`a row of ${this.dtype} cannot be taken apart`)
    if (!(Number.isInteger(start) && Number.isInteger(end) && start >= 0 && start <= end && end <= count)) {
      throw new RangeError(`rows ${shown(start)} to ${shown(end)} are not within a tensor of shape [${this.shape}]`)
    }
    const rowBytes = count === 0 ? 0 : this.byteLength / count
    return new Tensor(this.dtype, [end - start, ...rest], this.memory, this.offset + start * rowBytes)
  }

  /**
   * A tensor without dimensions, in host memory: one number.
   * @throws TypeError for a number that the type does not hold
   */
  static scalar<T extends DataType>(value: Scalar, dtype: T): Tensor<T> {
    const known = scalars.get(`${dtype} ${String(value)}`)
    if (known) return known as Tensor<T>
    const isHalf = dtype === 'float16' || dtype === 'bfloat16'
    const element = (dtype === 'int64' ? BigInt(value) : Number(value)) as ElementArray<T>[number]
    const made = isHalf
      ? Tensor.scalar(value, 'float32').astype(dtype as NumberType)
      : Tensor.from(dtype, [], [element], { memory: 'private' })
    if (scalars.size >= MOST_SCALARS) scalars.clear()
    scalars.set(`${dtype} ${String(value)}`, made)
    return made as Tensor<T>
  }

  /** @internal */
  apply<U extends DataType>(operation: ArrayOperation<Tensor, U>): Tensor<U> {
    const device = operation.inputs.find((input) => input.device !== 'cpu')?.device ?? 'cpu'
    const result = Tensor.zeros(operation.dtype, operation.shape, { memory: 'private', device })
    backendOf(device).compute(device, operation, result)
    return result
  }

  /** @internal */
  protected seenAs(shape: readonly number[]): Tensor<T> {
    return this.reshape(shape)
  }

  /** @internal */
  protected scalar(value: Scalar, dtype: DataType): Tensor {
    return Tensor.scalar(value, dtype)
  }

  /** Lets go of the memory before the garbage collector does. The tensor and all views of it are then unusable. */
  release(): void {
    this.#view = undefined
    released.add(this.memory)
    this.memory.release()
  }
}

/** By way of the host where the two are on devices of different kinds. */
async function copyBetween(from: Tensor, to: Tensor): Promise<void> {
  const [source, target] = [backendOf(from.device), backendOf(to.device)]
  if (source !== target && from.device !== 'cpu' && to.device !== 'cpu') return copyBetween(await from.to('cpu'), to)
  await (to.device === 'cpu' ? source : target).copy(from.operand, to.operand)
}

/** Bytes that a tensor takes. */
export function bytesOf(dtype: DataType, shape: readonly number[]): number {
  expectDataType(dtype)
  const columns = shape.at(-1) ?? 1
  const size = sizeOf(shape)
  return bytesOfRows(dtype, columns === 0 ? 0 : size / columns, columns)
}

function sizeOf(shape: readonly number[]): number {
  if (!Array.isArray(shape)) throw new TypeError(`a tensor's shape: expected a list of sizes, found ${shown(shape)}`)
  let size = 1
  for (const dimension of shape) {
    if (!Number.isSafeInteger(dimension) || dimension < 0) {
      throw new RangeError(`a dimension is a whole number of at least 0; found ${shown(dimension)} in ${shown(shape)}`)
    }
    size *= dimension
  }
  return size
}
