import { Communicator as NativeCommunicator, type RankAddress } from '@troupe/native'
import type { Tensor } from './tensor.js'

export type { RankAddress }

export interface CommunicatorOptions {
  /** This member's number, from 0 to size - 1. */
  rank: number
  size: number
  /** What errors call the group, e.g. a mesh dimension. */
  name: string
  /** Ranks that give the same node id meet in shared memory, others over TCP. */
  node: string
  /** This host's address as other nodes see it; leave it out when all ranks are on one node. */
  host?: string
  /** A secret that all ranks were given; connections that do not know it are dropped. */
  token: string
  /** What errors call each rank. */
  labels?: string[]
  /** Whether a rank waits awake for some 20 us before it sleeps: for ranks that have a core each. */
  spin?: boolean
  /** Milliseconds without any progress after which an operation fails; 30,000 by default. */
  timeout?: number
}

/**
 * One rank's end of a group of processes that run collectives. Every rank makes one and publishes its `address`; once
 * all addresses are known, every rank calls `connect`. All ranks must then start the same operations in the same order.
 * An operation fails, and the group with it, when a rank dies or leaves, when the ranks disagree on what they run, or when
 * nothing moves for the group's timeout.
 *
 * @example
 * ```ts
 * const group = new Communicator({ rank, size: 2, name: 'tensor', node, token })
 * await group.connect(await exchange(group.address))
 * await group.allReduce(gradients)   // every rank now holds the sum
 * ```
 */
export class Communicator {
  /** @internal */
  readonly native: NativeCommunicator
  readonly rank: number
  readonly size: number
  readonly name: string

  constructor(options: CommunicatorOptions) {
    this.native = new NativeCommunicator(options)
    this.rank = options.rank
    this.size = options.size
    this.name = options.name
  }

  /** Where the other ranks reach this one. */
  get address(): RankAddress {
    return this.native.address
  }

  /** Meets the other ranks, whose addresses are given in rank order, this rank's own included. */
  connect(addresses: RankAddress[]): Promise<void> {
    return this.native.connect(addresses)
  }

  /** Sums a tensor over all ranks, in place. Every rank gets the same bits, on every run. */
  allReduce(tensor: Tensor<'float32'>): Promise<void> {
    return this.native.allReduce(tensor.data)
  }

  /**
   * Collects the ranks' tensors, which have `own`'s dtype and its shape but for the first dimension, into `all`, stacked
   * in rank order. `rows` holds the first dimension of each rank's.
   * @throws RangeError if the sizes do not fit.
   */
  allGather(own: Tensor, rows: number[], all: Tensor): Promise<void> {
    const rowBytes = all.byteLength / Math.max(1, all.shape[0] ?? 1)
    return this.native.allGather(
      own.bytes,
      rows.map((count) => count * rowBytes),
      all.bytes,
    )
  }

  /** Sends a tensor's elements to a rank, which must be receiving as many bytes. */
  send(to: number, tensor: Tensor): Promise<void> {
    return this.native.send(this.#peer(to), tensor.bytes)
  }

  /** Receives a tensor's elements, in place, from a rank. */
  receive(from: number, tensor: Tensor): Promise<void> {
    return this.native.receive(this.#peer(from), tensor.bytes)
  }

  /** Leaves the group: the operation in progress here, and those of the other ranks, fail with `reason`. */
  abort(reason: string): void {
    this.native.abort(reason)
  }

  #peer(rank: number): number {
    if (Number.isInteger(rank) && rank >= 0 && rank < this.size && rank !== this.rank) return rank
    throw new RangeError(
      `group '${this.name}' has ranks 0 to ${this.size - 1}, this one being ${this.rank}; found ${rank}`,
    )
  }
}
