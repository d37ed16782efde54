import { decode, type Encoded, encode } from '../transport/codec.js'
import { packedBytes, snapshot } from '../transport/encoded.js'
import type { Call } from './call.js'
import { ObjectRef } from './ref.js'
import { pinRef } from './ref-codec.js'
import { argumentOf, RemoteArgument } from './remote-argument.js'

/**
 * A call that is not yet sent, or may have to be sent again: its arguments as they were when it was made. Holds what they
 * pin until the call has an outcome, or longer if its result may have to be computed again.
 */
export class Outgoing {
  /** Whether all refs among the arguments have outcomes. */
  isReady: boolean
  /** The time of the call, as `performance.now()` tells. */
  readonly since = performance.now()
  /** The refs among the arguments that still have to be resolved, by index. */
  readonly refs: (readonly [number, ObjectRef<unknown>])[]
  #call: Call | undefined
  #encoded: Encoded
  /** The values that the refs have resolved to, in their order. */
  #values: unknown[] = []
  #late: Encoded[] = []
  #sameNode: boolean
  readonly #uses: (() => void)[]
  #pins: (() => void)[] = []
  #isDone = false

  /**
   * @param retries the number of times that it may be sent again
   * @param settled called when the call has an outcome
   * @throws InvalidInputError if an argument cannot be sent
   */
  constructor(
    readonly number: number,
    call: Call,
    readonly method: string,
    args: unknown[],
    sameNode: boolean,
    public retries: number,
    private settled: () => void,
  ) {
    this.#call = call
    this.refs = args.flatMap((arg, index) => (arg instanceof ObjectRef ? [[index, arg] as const] : []))
    const given = this.refs.length === 0 ? args : args.map((arg) => (arg instanceof ObjectRef ? null : arg))
    this.isReady = this.refs.length === 0
    this.#sameNode = sameNode
    this.#encoded = snapshot(encode(given, 'arguments', sameNode))
    this.#uses = this.refs.map(([, ref]) => ref.use())
  }

  get call(): Call {
    return this.#call!
  }

  /** Whether the receiver has to fetch some of the arguments. */
  get hasRemote(): boolean {
    return this.#values.some((value) => value instanceof RemoteArgument)
  }

  /** The number of bytes that it keeps, about. */
  get bytes(): number {
    const encoded = [this.#encoded, ...this.#late]
    return encoded.reduce((sum, one) => sum + packedBytes(one, 2 ** 16), 0)
  }

  /**
   * Waits for the refs among the arguments.
   *
   * @throws the failure of the first ref that fails; InvalidInputError if a value cannot be sent
   */
  async resolve(): Promise<void> {
    const values = await Promise.all(this.refs.map(([, ref]) => argumentOf(ref, this.#sameNode)))
    // The call may have failed meanwhile.
    if (this.#isDone) return
    this.#release(this.#late)
    for (const unpin of this.#pins.splice(0)) unpin()
    this.#values = values
    this.#late = values.map((value, position) =>
      snapshot(encode(value, `argument ${this.refs[position]![0] + 1}`, this.#sameNode)),
    )
    this.refs.forEach(([, ref], position) => {
      // The receiver may have to ask for it.
      if (values[position] instanceof RemoteArgument) this.#pins.push(pinRef(ref))
    })
    this.isReady = true
  }

  /**
   * Resolves the arguments anew after one could not be reached.
   *
   * @param holder the process that it could not be reached in
   */
  async recover(holder: string): Promise<void> {
    await Promise.all(this.refs.map(([, ref]) => ref.elsewhere?.location(holder)))
    await this.resolve()
  }

  /** The arguments for a receiver. Tensors travel differently to another node, so they may have to be encoded anew. */
  encoded(sameNode: boolean): { args: Encoded; late?: [number, Encoded][] } {
    if (sameNode !== this.#sameNode) {
      this.#encoded = recoded(this.#encoded, this.#sameNode, sameNode)
      this.#late = this.#late.map((late) => recoded(late, this.#sameNode, sameNode))
      this.#sameNode = sameNode
    }
    const args = { ...this.#encoded, pins: [] }
    if (this.#late.length === 0) return { args }
    return { args, late: this.#late.map((value, position) => [this.refs[position]![0], { ...value, pins: [] }]) }
  }

  /** The call has an outcome. The arguments are kept for its result, which must not be kept by them. */
  keep(): void {
    this.#answered()
    this.#call = undefined
  }

  /** The call is made again for its result. */
  again(call: Call, retries: number, settled: () => void): void {
    this.#call = call
    this.retries = retries
    this.settled = settled
  }

  /** The call has an outcome, and is not needed any more. */
  done(): void {
    this.#isDone = true
    this.#release([this.#encoded, ...this.#late])
    for (const unpin of this.#pins.splice(0)) unpin()
    for (const unused of this.#uses.splice(0)) unused()
    this.#answered()
  }

  #answered(): void {
    this.settled()
    this.settled = () => {}
  }

  #release(list: Encoded[]): void {
    for (const { pins } of list) for (const release of pins.splice(0)) release()
  }
}

/** Encodes arguments anew for receivers on the other side of the node's border: the value as it was then. */
function recoded(encoded: Encoded, wasSameNode: boolean, isSameNode: boolean): Encoded {
  const { subject, tree, tagged, attachments, pins } = snapshot(encoded)
  const kept: Promise<unknown>[] = []
  const own = attachments.map((bytes) => Uint8Array.from(bytes))
  const value = decode(tree, tagged, own, wasSameNode, (until) => kept.push(until))
  const made = snapshot(encode(value, subject, isSameNode))
  const before = pins.splice(0)
  void Promise.allSettled(kept).then(() => {
    for (const release of before) release()
  })
  return made
}
