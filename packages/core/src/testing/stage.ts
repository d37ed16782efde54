import { actor, currentCall, type Handle } from '@troupe/core'
import { Tensor } from '@troupe/tensor'
import type { Counter } from './counter.js'

/** An actor for graphs. */
export class Stage {
  readonly seen: unknown[] = []
  readonly #gates: (() => void)[] = []

  constructor(private readonly label = '') {}

  echo<T>(value: T): T {
    return value
  }

  tag(value: string): string {
    this.seen.push(value)
    return `${value}${this.label}`
  }

  async tagLater(value: string): Promise<string> {
    await new Promise((resolve) => setImmediate(resolve))
    return this.tag(value)
  }

  join(left: string, right: string, between = ''): string {
    return `(${left}${between}${right})`
  }

  /** Fails for one value. */
  refuse(value: number, refused: number): number {
    if (value === refused) throw new RangeError(`${value} is refused`)
    return value
  }

  unsendable(_: unknown): unknown {
    return { run: () => 1 }
  }

  die(value: number, last: number): number {
    if (value === last) process.exit(3)
    return value
  }

  /** Waits until `open` is called as often as it was. */
  async pass<T>(value: T): Promise<T> {
    await new Promise<void>((resolve) => this.#gates.push(resolve))
    return value
  }

  waiting(): number {
    return this.#gates.length
  }

  open(): void {
    for (const open of this.#gates.splice(0)) open()
  }

  all(): unknown[] {
    return this.seen
  }

  isInCall(_: unknown): boolean {
    return currentCall() !== undefined
  }

  ones(value: number, rows = 2): Tensor<'float32'> {
    return Tensor.from('float32', [rows, 2], new Array(rows * 2).fill(value))
  }

  values(tensor: Tensor<'float32'>): number[] {
    return [...tensor.data]
  }

  scale(tensor: Tensor<'float32'>, by: number): Tensor<'float32'> {
    return Tensor.from(
      'float32',
      tensor.shape,
      tensor.data.map((value) => value * by),
    )
  }

  /** Calls another actor while it runs a step. */
  async addThrough(value: number, counter: Handle<Counter>): Promise<number> {
    return await counter.add(value)
  }

  *stream(_: unknown): Generator<number> {
    yield 1
  }
}
export const RemoteStage = actor(import.meta.url, Stage)
