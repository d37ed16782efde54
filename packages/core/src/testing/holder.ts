import { actor, type ObjectRef, put, remote } from '@troupe/core'

/** Keeps refs that it was given inside of values, and gives out refs of its own. */
export class Holder {
  #held: ObjectRef<number>[] = []

  constructor(box?: { refs: ObjectRef<number>[] }) {
    if (box) this.keep(box)
  }

  keep(box: { refs: ObjectRef<number>[] }): number {
    this.#held.push(...box.refs)
    return this.#held.length
  }

  async sum(): Promise<number> {
    const values = await Promise.all(this.#held)
    return values.reduce((total, value) => total + value, 0)
  }

  give(): { refs: ObjectRef<number>[] } {
    return { refs: this.#held }
  }

  make(value: number): { ref: ObjectRef<number> } {
    return { ref: put(value) }
  }

  drop(): void {
    for (const ref of this.#held.splice(0)) ref.release()
  }
}
export const RemoteHolder = actor(import.meta.url, Holder)

export async function sumOf(box: { refs: ObjectRef<number>[] }): Promise<number> {
  const values = await Promise.all(box.refs)
  return values.reduce((total, value) => total + value, 0)
}
export const remoteSumOf = remote(import.meta.url, sumOf)

export async function sumOfBox(outer: { box: ObjectRef<{ refs: ObjectRef<number>[] }> }): Promise<number> {
  return sumOf(await outer.box)
}
export const remoteSumOfBox = remote(import.meta.url, sumOfBox)
