import {
  type CollectiveRequest,
  Communicator as NativeCommunicator,
  type CommunicatorOptions as NativeOptions,
  type RankAddress,
} from '@troupe/native'
import { isNative, runStaged, type StagedRequest } from './backend/host-staging.js'
import { nativeRegion } from './backend/native-memory.js'
import { collective } from './collective-error.js'
import { CollectiveShapes, type Rows } from './collective-shapes.js'
import { type DataType, isQuantized, type QuantizedType } from './data-type.js'
import { type DeviceName, kindOf, numberOfDevice, toDevice } from './device.js'
import { shown } from './elements.js'
import { Tensor } from './tensor.js'

export type { RankAddress, Rows }

/** Options of a communicator: its group, and its rank there. */
export interface CommunicatorOptions extends Omit<NativeOptions, 'gpu'> {
  /**
   * The GPU that this rank's tensors will be on. If all ranks name one they meet over NCCL as they connect; otherwise the
   * first collective on tensors of GPUs makes them meet. Tensors of WebGPU go by way of host memory.
   */
  device?: DeviceName
}

/**
 * The operation that makes one of the ranks' elements: `sum` unless said otherwise. Sums and products of integers wrap
 * around, an average of integers is rounded towards zero. float16 and bfloat16 are computed in float32 and rounded once.
 */
export type Reduction = 'sum' | 'product' | 'min' | 'max' | 'average'

/** A tensor whose elements can be reduced. */
export type Reducible = Tensor<Exclude<DataType, 'uint8' | 'bool' | QuantizedType>>

/** Memory that is registered with NCCL. */
export interface Registration {
  /** Ends the registration. */
  release(): Promise<void>
}

/**
 * One rank's end of a group of processes that run collectives. Every rank makes one and publishes its `address`; once all
 * addresses are known, every rank calls `connect`. All ranks must then start the same operations in the same order.
 * Operations run one after the other, off the JavaScript thread; their tensors are in use until the promise settles.
 *
 * An operation fails with a CollectiveError, and the group with it, when a rank dies or leaves, when the ranks disagree on
 * the operation, its dtype or its sizes, or when nothing moves for the group's timeout. Reductions join the ranks' values in
 * rank order, so that all ranks get the same bits on every run. A method throws a RangeError at once if the sizes it is
 * given do not fit.
 *
 * Data goes by where the ranks and their tensors are: in shared memory between ranks of one node, over TCP
 * between nodes (where several ranks share a node, through one of them), over NCCL between tensors on GPUs.
 *
 * @example
 * ```ts
 * const group = new Communicator({ rank, size: 2, name: 'tensor', node, token })
 * await group.connect(await exchange(group.address))
 * await group.allReduce(gradients, { reduction: 'average' })
 * ```
 */
export class Communicator {
  /** @internal */
  readonly native: NativeCommunicator
  readonly rank: number
  readonly size: number
  readonly name: string
  readonly #options: CommunicatorOptions
  readonly #shapes: CollectiveShapes
  #batch: StagedRequest[] | undefined
  /** Settles once no operation waits for its operands to be copied to the host. */
  #staging: Promise<void> | undefined
  #splits = 0
  #registrations = 0

  constructor(options: CommunicatorOptions) {
    const device = toDevice(options.device)
    const gpu = kindOf(device) === 'cuda' ? numberOfDevice(device) : undefined
    this.native = new NativeCommunicator({ ...options, gpu })
    this.rank = options.rank
    this.size = options.size
    this.name = options.name
    this.#options = options
    this.#shapes = new CollectiveShapes(options)
  }

  /** The address at which the other ranks reach this one. */
  get address(): RankAddress {
    return this.native.address
  }

  /** Meets the other ranks, whose addresses are given in rank order, this rank's own included. */
  connect(addresses: RankAddress[]): Promise<void> {
    return collective(this.native.connect(addresses))
  }

  /** Reduces a tensor over all ranks: in place, or into `output`. */
  allReduce(tensor: Reducible, { reduction = 'sum', output = tensor }: ReduceOptions = {}): Promise<void> {
    this.#shapes.expectAlike('all-reduce', tensor, output)
    return this.#run({
      kind: 'allReduce',
      type: tensor.dtype,
      reduction,
      input: tensor.operand,
      output: output.operand,
    })
  }

  /** Reduces a tensor over all ranks into the root's `output`, by default the root's tensor itself. */
  reduce(tensor: Reducible, root: number, { reduction = 'sum', output = tensor }: ReduceOptions = {}): Promise<void> {
    this.#shapes.expectAlike('reduce', tensor, output)
    const common = { kind: 'reduce', type: tensor.dtype, reduction, root: this.#shapes.known(root) } as const
    return this.#run({ ...common, input: tensor.operand, output: this.rank === root ? output.operand : undefined })
  }

  /**
   * Reduces `all` over all ranks and gives each rank its rows of the result, in `own`.
   * @param options `rows`: how many rows each rank gets; as many each by default.
   */
  reduceScatter(
    all: Reducible,
    own: Reducible,
    { reduction = 'sum', rows }: { reduction?: Reduction; rows?: Rows } = {},
  ): Promise<void> {
    const sizes = this.#shapes.shares('reduce-scatter', own, rows ?? this.#shapes.evenRows('reduce-scatter', all), all)
    return this.#run({
      kind: 'reduceScatter',
      type: all.dtype,
      reduction,
      sizes,
      input: all.operand,
      output: own.operand,
    })
  }

  /** Gives every rank the root's elements, in place. */
  broadcast(tensor: Tensor, root: number): Promise<void> {
    const { operand } = tensor
    const common = { kind: 'broadcast', type: elementType(tensor), root: this.#shapes.known(root) } as const
    return this.#run({ ...common, input: operand, output: operand })
  }

  /**
   * Collects the ranks' tensors, which have `own`'s dtype and its shape but for the first dimension, into `all`, stacked
   * in rank order.
   * @param rows The first dimension of each rank's.
   */
  allGather(own: Tensor, rows: Rows, all: Tensor): Promise<void> {
    const sizes = this.#shapes.shares('all-gather', own, rows, all)
    return this.#run({ kind: 'allGather', type: elementType(own), sizes, input: own.operand, output: all.operand })
  }

  /** Collects the ranks' tensors as allGather does, at the root alone, which gives `all`. */
  gather(own: Tensor, rows: Rows, root: number, all?: Tensor): Promise<void> {
    const sizes = this.#shapes.shares('gather', own, rows, this.#shapes.atRoot('gather', root, all))
    return this.#run({ kind: 'gather', type: elementType(own), sizes, root, input: own.operand, output: all?.operand })
  }

  /** Gives each rank, in `own`, its rows of what the root holds in `all`. */
  scatter(own: Tensor, rows: Rows, root: number, all?: Tensor): Promise<void> {
    const sizes = this.#shapes.shares('scatter', own, rows, this.#shapes.atRoot('scatter', root, all))
    return this.#run({ kind: 'scatter', type: elementType(own), sizes, root, input: all?.operand, output: own.operand })
  }

  /**
   * Sends each rank its rows of `sent`; what the ranks send here is stacked in `received` in rank order.
   * @param options `rows`: how many rows each rank is sent; `receivedRows`: how many it sends here; as many each by default.
   */
  allToAll(
    sent: Tensor,
    received: Tensor,
    { rows, receivedRows }: { rows?: Rows; receivedRows?: Rows } = {},
  ): Promise<void> {
    this.#shapes.expectDtype('all-to-all', sent, received)
    const sizes = this.#shapes.rowBytes('all-to-all', rows ?? this.#shapes.evenRows('all-to-all', sent), sent)
    const even = receivedRows ?? this.#shapes.evenRows('all-to-all', received)
    const receiveSizes = this.#shapes.rowBytes('all-to-all', even, received)
    const kind = 'allToAll'
    return this.#run({
      kind,
      type: elementType(sent),
      sizes,
      receiveSizes,
      input: sent.operand,
      output: received.operand,
    })
  }

  /** Sends a tensor's elements to a rank, which must be receiving as many of the same dtype. */
  send(to: number, tensor: Tensor): Promise<void> {
    return this.#run({ kind: 'send', type: elementType(tensor), peer: this.#shapes.other(to), input: tensor.operand })
  }

  /** Receives a tensor's elements, in place, from a rank. */
  receive(from: number, tensor: Tensor): Promise<void> {
    return this.#run({
      kind: 'receive',
      type: elementType(tensor),
      peer: this.#shapes.other(from),
      output: tensor.operand,
    })
  }

  /** Settles once every rank has called it. */
  barrier(): Promise<void> {
    return this.#run({ kind: 'barrier', type: 'uint8' })
  }

  /**
   * Starts the operations that `start` calls as one: messages are exchanged all at once, so that ranks may send to each other
   * in any order, and JavaScript waits once for all of them.
   *
   * @example
   * ```ts
   * await group.group(() => {
   *   group.send(next, own)
   *   group.receive(previous, received)
   * })
   * ```
   */
  group(start: () => void): Promise<void> {
    if (this.#batch) throw new Error(`group '${this.name}': group() cannot be called within itself`)
    const batch: StagedRequest[] = []
    this.#batch = batch
    try {
      start()
    } finally {
      this.#batch = undefined
    }
    return this.#start(batch)
  }

  /**
   * Makes smaller groups: ranks that give the same `color`, a whole number, are together, in the order of their `key` and,
   * where that is the same, of their rank. Every rank of this group must call it.
   */
  async split(color: number, key: number = this.rank): Promise<Communicator> {
    for (const [name, number] of Object.entries({ color, key })) {
      if (Number.isSafeInteger(number)) continue
      throw new RangeError(`split of group '${this.name}': ${name}: expected a whole number, found ${shown(number)}`)
    }
    const number = this.#splits++
    const own = Tensor.from('int64', [1, 2], [BigInt(color), BigInt(key)], { memory: 'private' })
    const all = Tensor.zeros('int64', [this.size, 2], { memory: 'private' })
    await this.allGather(own, this.#ones(), all)
    const members = Array.from({ length: this.size }, (_, rank) => rank)
      .filter((rank) => all.data[2 * rank] === own.data[0])
      .sort((a, b) => Number(all.data[2 * a + 1]! - all.data[2 * b + 1]!) || a - b)
    const { token, labels } = this.#options
    const name = `${this.name}.${number}.${color}`
    const part = new Communicator({
      ...this.#options,
      rank: members.indexOf(this.rank),
      size: members.length,
      name,
      token: `${token}.${number}.${color}`,
      labels: members.map((rank) => labels?.[rank] ?? `${rank}`),
    })
    // NCCL splits its own group, which takes less than to make a new one.
    const addresses = await this.#exchange({ ...part.address, usesGpu: false })
    await part.connect(members.map((rank, index) => ({ ...addresses[rank]!, rank: index })))
    await collective(this.native.splitGpus(part.native, members[0]!, members.indexOf(this.rank)))
    return part
  }

  /**
   * Lets NCCL prepare a tensor's memory, on a GPU, for transfers, until `release()` of the result. Does nothing before NCCL
   * 2.19, and before the group has met over NCCL. It pays for tensors that many operations use. All ranks should do so alike.
   */
  async register(tensor: Tensor): Promise<Registration> {
    const { operand } = tensor
    if (kindOf(tensor.device) !== 'cuda') {
      throw new RangeError(`group '${this.name}': only tensors on GPUs that NCCL reaches are registered`)
    }
    const id = this.#registrations++
    await collective(this.native.registerMemory(id, nativeRegion(operand)))
    return { release: () => this.native.deregisterMemory(id) }
  }

  /** Leaves the group in order once the operations before are done; every rank calls it. It is unusable afterwards. */
  close(): Promise<void> {
    return collective(this.native.close())
  }

  /** Leaves the group: the operation in progress here, and those of the other ranks, fail with `reason`. */
  abort(reason: string): void {
    this.native.abort(reason)
  }

  #run(request: StagedRequest): Promise<void> {
    if (!this.#batch) return this.#start([request])
    this.#batch.push(request)
    return Promise.resolve()
  }

  /** Starts operations behind those that were started before. */
  #start(requests: StagedRequest[]): Promise<void> {
    const run = (native: CollectiveRequest[]) => collective(this.native.run(native))
    const start = () => runStaged(requests, run)
    if (!this.#staging && requests.every(({ input, output }) => isNative(input) && isNative(output))) {
      return run(requests as CollectiveRequest[])
    }
    const done = this.#staging ? this.#staging.then(start) : start()
    const settled = done
      .catch(() => {})
      .then(() => {
        if (this.#staging === settled) this.#staging = undefined
      })
    this.#staging = settled
    return done
  }

  /** Gives each rank the values of all, in rank order. */
  async #exchange<T>(own: T): Promise<T[]> {
    const bytes = Buffer.from(JSON.stringify(own))
    const lengths = Tensor.zeros('int32', [this.size, 1], { memory: 'private' })
    const length = Tensor.from('int32', [1, 1], [bytes.length], { memory: 'private' })
    await this.allGather(length, this.#ones(), lengths)
    const rows = [...lengths.data]
    const all = Tensor.zeros('uint8', [rows.reduce((a, b) => a + b)], { memory: 'private' })
    await this.allGather(Tensor.from('uint8', [bytes.length], bytes, { memory: 'private' }), rows, all)
    let end = 0
    return rows.map((count) => {
      end += count
      return JSON.parse(Buffer.from(all.data.subarray(end - count, end)).toString()) as T
    })
  }

  #ones(): number[] {
    return Array(this.size).fill(1)
  }
}

/** Options of a reduction. */
export interface ReduceOptions {
  reduction?: Reduction
  /** The tensor that the result goes to; by default the one that is reduced. */
  output?: Reducible
}

/** Bools, and blocks of quantized numbers, are carried as their bytes. */
function elementType({ dtype }: Tensor): CollectiveRequest['type'] {
  return isQuantized(dtype) || dtype === 'bool' ? 'uint8' : dtype
}
