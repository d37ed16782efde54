import { ObjectLostError } from '../api/errors.js'
import type { ObjectRef } from '../api/ref.js'

/** A ref that other processes hold. */
interface Entry {
  readonly ref: ObjectRef<unknown>
  /** Messages with the ref that have not been taken in yet. */
  travelling: number
  /** How many refs of it each process holds. */
  readonly holders: Map<string, number>
}

/**
 * The refs of this process that others know of. A value lives while this process has its ref, another process holds one, or
 * a message with one is on its way.
 */
export class ObjectTable {
  readonly #entries = new Map<string, Entry>()
  readonly #kept = new Map<object, ObjectRef<unknown>>()

  /** How many refs others hold. */
  get size(): number {
    return this.#entries.size
  }

  /** This process's own ref, if it is one that others know of. */
  own(id: string): ObjectRef<unknown> | undefined {
    return this.#entries.get(id)?.ref
  }

  /** Holds a ref that is another's until the returned function is called. */
  keep(ref: ObjectRef<unknown>): () => void {
    const key = {}
    this.#kept.set(key, ref)
    return () => this.#kept.delete(key)
  }

  /** A ref goes into a message; the returned function is called when the message has been taken in. */
  send(ref: ObjectRef<unknown>): () => void {
    let entry = this.#entries.get(ref.id)
    if (!entry) {
      entry = { ref, travelling: 0, holders: new Map() }
      this.#entries.set(ref.id, entry)
    }
    const sent = entry
    sent.travelling += 1
    return () => {
      sent.travelling -= 1
      this.#drop(ref.id, sent)
    }
  }

  /** Another process has got a ref. */
  hold(id: string, holder: string): void {
    const { holders } = this.#entry(id)
    holders.set(holder, (holders.get(holder) ?? 0) + 1)
  }

  /** Another process has let go of a ref. */
  release(id: string, holder: string): void {
    const entry = this.#entries.get(id)
    if (!entry) return
    const left = (entry.holders.get(holder) ?? 0) - 1
    if (left > 0) entry.holders.set(holder, left)
    else entry.holders.delete(holder)
    this.#drop(id, entry)
  }

  /** A process has ended, and what it held with it. */
  holderGone(holder: string): void {
    for (const [id, entry] of this.#entries) if (entry.holders.delete(holder)) this.#drop(id, entry)
  }

  /** The value of a ref, or its failure. */
  async fetch(id: string): Promise<unknown> {
    return await this.#entry(id).ref
  }

  #entry(id: string): Entry {
    const entry = this.#entries.get(id)
    if (!entry) throw new ObjectLostError(`the value of the ref ${id} was freed: no process held a ref of it any more`)
    return entry
  }

  #drop(id: string, entry: Entry): void {
    if (entry.travelling > 0 || entry.holders.size > 0 || this.#entries.get(id) !== entry) return
    this.#entries.delete(id)
    entry.ref.unheld()
  }
}
