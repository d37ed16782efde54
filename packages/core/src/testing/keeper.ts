import { actor, type ObjectRef, put } from '@troupe/core'

/** An actor that keeps values of the store. */
export class Keeper {
  readonly #kept: unknown[] = []

  keep(value: unknown): number {
    return this.#kept.push(value)
  }

  async keepRef(box: { ref: ObjectRef<Uint8Array> }): Promise<number> {
    const bytes = await box.ref
    this.#kept.push(bytes)
    return bytes.at(-1)!
  }

  async lastOf(box: { ref: ObjectRef<Uint8Array> }): Promise<number> {
    return this.last(await box.ref)
  }

  make(bytes: number, content: number): { ref: ObjectRef<Uint8Array> } {
    const ref = put(new Uint8Array(bytes).fill(content))
    this.#kept.push(ref)
    return { ref }
  }

  last(bytes: Uint8Array): number {
    return bytes.at(-1)!
  }

  write(bytes: Uint8Array): void {
    bytes[0] = 77
  }
}
export const RemoteKeeper = actor(import.meta.url, Keeper)
