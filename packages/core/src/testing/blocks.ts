import { appendFileSync } from 'node:fs'
import { actor, type ObjectRef, remote } from '@troupe/core'
import { borrowedCount, currentRuntime } from '#internals'
import { collectGarbage } from '../common/collect-garbage.js'

/** Elements of a block: 1 MiB, more than comes over with an answer. */
const ELEMENTS = 2 ** 17

/** Makes a large array of one number, and notes which process did. */
export function makeBlock(file: string, value: number): Float64Array {
  appendFileSync(file, `make ${value} ${process.pid}\n`)
  return new Float64Array(ELEMENTS).fill(value)
}
export const remoteMakeBlock = remote(import.meta.url, makeBlock)

/** A large array whose elements are larger by a number. */
export function addToBlock(file: string, block: Float64Array, by: number): Float64Array {
  appendFileSync(file, `add ${by} ${process.pid}\n`)
  return block.map((element) => element + by)
}
export const remoteAddToBlock = remote(import.meta.url, addToBlock)

/** A large array and a small number. */
export function splitBlock(file: string, value: number): [Float64Array, number, Float64Array] {
  appendFileSync(file, `split ${value} ${process.pid}\n`)
  return [new Float64Array(ELEMENTS).fill(value), value, new Float64Array(ELEMENTS).fill(-value)]
}
export const remoteSplitBlock = remote(import.meta.url, splitBlock)

/** A large array made by a tree of tasks over two nodes, whose leaves are ones. */
export async function growBlock(file: string, depth: number): Promise<Float64Array> {
  appendFileSync(file, `grow ${depth} ${process.pid}\n`)
  if (depth === 0) return new Float64Array(ELEMENTS).fill(1)
  const refs = ['a', 'b'].map((zone) => remoteGrowBlock.options({ labels: { zone } })(file, depth - 1))
  const [left, right] = await Promise.all(refs)
  for (const ref of refs) ref.release()
  return left!.map((element, index) => element + right![index]!)
}
export const remoteGrowBlock = remote(import.meta.url, growBlock)

export function firstOf(block: Float64Array): number {
  return block.length === ELEMENTS && block[0] === block.at(-1) ? block[0]! : Number.NaN
}
export const remoteFirstOf = remote(import.meta.url, firstOf)

export async function firstOfRef(box: { ref: ObjectRef<Float64Array> }): Promise<number> {
  const first = firstOf(await box.ref)
  box.ref.release()
  return first
}
export const remoteFirstOfRef = remote(import.meta.url, firstOfRef)

/** An actor that gives and takes large arrays. */
export class BlockStore {
  #block: Float64Array = new Float64Array(ELEMENTS)
  #kept: ObjectRef<Float64Array> | undefined
  readonly #order: number[] = []

  constructor(block?: Float64Array) {
    if (block) this.#block = block
  }

  block(): Float64Array {
    return this.#block
  }

  fill(value: number): void {
    this.#block.fill(value)
  }

  first(block: Float64Array): number {
    this.#order.push(firstOf(block))
    return firstOf(block)
  }

  note(value: number): void {
    this.#order.push(value)
  }

  order(): number[] {
    return this.#order
  }

  keep(box: { ref: ObjectRef<Float64Array> }): void {
    this.#kept = box.ref
  }

  async kept(): Promise<number> {
    return firstOf(await this.#kept!)
  }

  drop(): void {
    this.#kept?.release()
    this.#kept = undefined
  }

  /** A large array that a task made for this actor, who owns the ref. */
  async madeFor(file: string, value: number): Promise<{ ref: ObjectRef<Float64Array> }> {
    const ref = remoteMakeBlock.options({ labels: { zone: 'b' } })(file, value)
    return { ref }
  }

  pid(): number {
    return process.pid
  }

  /** Refs of this process that others hold, and those of others that it holds. */
  counts(): [held: number, borrowed: number] {
    collectGarbage()
    return [currentRuntime().objects.size, borrowedCount()]
  }
}
export const RemoteBlockStore = actor(import.meta.url, BlockStore)
