import { Communicator, type RankAddress, type Reducible, Tensor } from '@troupe/tensor'
import { InvalidInputError } from '../common/errors.js'
import { currentRuntime } from '../runtime/current.js'
import type { CollectiveStep } from './protocol.js'
import { Failed } from './step-runner.js'

const FINE = 0
const FAILED = 1
const NO_TENSOR = 2

/** One actor's part in a collective of a graph. */
export class CollectivePart {
  readonly #group: Communicator
  readonly #step: CollectiveStep

  constructor(step: CollectiveStep, graph: string, token: string) {
    const { actor, self } = currentRuntime()
    const { rank, members, operation } = step
    this.#step = step
    this.#group = new Communicator({
      rank,
      size: members.length,
      name: `${operation} of graph ${graph}`,
      node: self.nodeId,
      ...(actor && { host: actor.identity.host }),
      token: `${token}:${step.group}`,
      labels: [...members],
    })
  }

  get address(): RankAddress {
    return this.#group.address
  }

  connect(addresses: readonly RankAddress[]): Promise<void> {
    return this.#group.connect([...addresses])
  }

  abort(reason: string): void {
    this.#group.native.abort(reason)
  }

  /** Joins the ranks' values; where one of them failed or does not fit, all ranks fail alike and the group lives on. */
  async run(value: unknown): Promise<Tensor> {
    const state = value instanceof Failed ? FAILED : value instanceof Tensor ? FINE : NO_TENSOR
    await this.#agree(value, state)
    const own = value as Reducible
    const { operation, reduction } = this.#step
    if (operation === 'allReduce') {
      const output = Tensor.zeros(own.dtype, own.shape) as Reducible
      await this.#group.allReduce(own, { reduction, output })
      return output
    }
    const [rows = 0, ...rest] = own.shape
    const { size } = this.#group
    if (operation === 'allGather') {
      const all = Tensor.zeros(own.dtype, [rows * size, ...rest])
      await this.#group.allGather(own, new Array(size).fill(rows), all)
      return all
    }
    const share = Tensor.zeros(own.dtype, [rows / size, ...rest]) as Reducible
    await this.#group.reduceScatter(own, share, { reduction })
    return share
  }

  async #agree(value: unknown, state: number): Promise<void> {
    const { size, rank } = this.#group
    const { members, label, operation } = this.#step
    const shape = value instanceof Tensor ? `${value.dtype} of shape [${value.shape}]` : ''
    const own = Tensor.from('int32', [1, 2], [state, hash(shape)])
    const all = Tensor.zeros('int32', [size, 2])
    await this.#group.allGather(own, new Array(size).fill(1), all)
    if (value instanceof Failed) throw value.error
    for (let other = 0; other < size; other++) {
      const [theirs, form] = [all.data[2 * other], all.data[2 * other + 1]]
      if (theirs === FAILED) throw new Error(`${label}: the value of ${members[other]} failed`)
      if (theirs === NO_TENSOR)
        throw new InvalidInputError(`${label} joins tensors, found something else of ${members[other]}`)
      if (form === all.data[1]) continue
      throw new InvalidInputError(
        `${label} joins tensors of one dtype and shape; ${members[other]} and ${members[0]} differ, ${members[rank]} has ${shape}`,
      )
    }
    const rows = (value as Tensor).shape[0] ?? 0
    if (operation === 'reduceScatter' && rows % size !== 0) {
      throw new InvalidInputError(
        `${label} gives each of ${size} actors an equal share of the rows, found ${rows} rows`,
      )
    }
  }
}

/** FNV-1a, in 32 bits. */
function hash(text: string): number {
  let state = 0x811c9dc5
  for (let index = 0; index < text.length; index++) state = Math.imul(state ^ text.charCodeAt(index), 0x01000193)
  return state | 0
}
