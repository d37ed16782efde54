import type { Call } from '../api/call.js'
import { ObjectRef } from '../api/ref.js'
import { type Encoded, encode } from '../transport/codec.js'
import { snapshot } from '../transport/wire.js'

/**
 * A call that is not yet sent, or may have to be sent again: its arguments as they were when it was made. What they pin is
 * held until the call has an outcome.
 */
export class Outgoing {
  /** Whether all refs among the arguments have their values. */
  isReady: boolean
  /** When it was called, as `performance.now()` tells. */
  readonly since = performance.now()
  /** The refs among the arguments that still have to be resolved, by index. */
  readonly refs: (readonly [number, ObjectRef<unknown>])[]
  #args: unknown[]
  #encoded: Encoded | undefined
  #late: [number, Encoded][] = []
  #sameNode: boolean

  /**
   * @param retries how often it may be sent again
   * @param settled called when the call has an outcome
   * @throws InvalidInputError if an argument cannot be sent
   */
  constructor(
    readonly number: number,
    readonly call: Call,
    readonly method: string,
    args: unknown[],
    sameNode: boolean,
    public retries: number,
    private readonly settled: () => void,
  ) {
    this.refs = args.flatMap((arg, index) => (arg instanceof ObjectRef ? [[index, arg] as const] : []))
    this.#args = this.refs.length === 0 ? args : args.map((arg) => (arg instanceof ObjectRef ? null : arg))
    this.isReady = this.refs.length === 0
    this.#sameNode = sameNode
    this.#encoded = snapshot(encode(this.#args, 'arguments', sameNode))
  }

  /**
   * Waits for the refs among the arguments.
   *
   * @throws the failure of the first ref that fails; InvalidInputError if a value cannot be sent
   */
  async resolve(): Promise<void> {
    const values = await Promise.all(this.refs.map(([, ref]) => ref))
    this.#args = [...this.#args]
    for (const [position, [index]] of this.refs.entries()) {
      this.#args[index] = values[position]
      this.#late.push([index, encode(values[position], `argument ${index + 1}`, this.#sameNode)])
    }
    this.isReady = true
  }

  /** The arguments for a receiver. Tensors travel differently to another node, so they may have to be encoded anew. */
  encoded(sameNode: boolean): { args: Encoded; late?: [number, Encoded][] } {
    if (sameNode !== this.#sameNode) {
      this.#release()
      this.#sameNode = sameNode
      this.#encoded = snapshot(encode(this.#args, 'arguments', sameNode))
      this.#late = []
    }
    const args = { ...this.#encoded!, pins: [] }
    if (this.#late.length === 0) return { args }
    return { args, late: this.#late.map(([index, value]) => [index, { ...value, pins: [] }]) }
  }

  /** The call has an outcome. */
  done(): void {
    this.#release()
    this.settled()
  }

  #release(): void {
    for (const { pins } of [this.#encoded, ...this.#late.map(([, value]) => value)].filter((it) => it !== undefined)) {
      for (const release of pins.splice(0)) release()
    }
  }
}
