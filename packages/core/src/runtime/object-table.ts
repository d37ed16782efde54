import { ObjectLostError } from '../common/errors.js'
import type { Outcome } from '../protocol/location.js'
import type { ObjectRef } from './ref.js'

/** A ref that other processes hold. */
interface Entry {
  readonly ref: ObjectRef<unknown>
  /** Messages with the ref that have not been taken in yet. */
  travelling: number
  /** The number of refs of it that each process holds. */
  readonly holders: Map<string, number>
  /** Lets the value be freed. */
  readonly unused: () => void
}

/**
 * The refs of this process that others know of. A value lives while this process has its ref, another process holds one, or
 * a message with one is on its way.
 */
export class ObjectTable {
  readonly #entries = new Map<string, Entry>()
  readonly #kept = new Map<object, ObjectRef<unknown>>()
  /** The values that this process has put and still has refs of. */
  readonly #puts = new Map<string, WeakRef<ObjectRef<unknown>>>()
  readonly #collected = new FinalizationRegistry<string>((id) => this.#puts.delete(id))

  /** @param onEmpty called when others hold no ref any more */
  constructor(private readonly onEmpty: () => void = () => {}) {}

  /** The number of refs that others hold. */
  get size(): number {
    return this.#entries.size
  }

  /** Whether there is anything that others may ask for. */
  get isEmpty(): boolean {
    return this.#entries.size === 0 && this.#puts.size === 0
  }

  /** Notes a value that was put, until its ref is collected or {@link unput}. */
  put(ref: ObjectRef<unknown>): void {
    this.#puts.set(ref.id, new WeakRef(ref))
    this.#collected.register(ref, ref.id)
  }

  unput(id: string): void {
    this.#puts.delete(id)
  }

  /** The values that were put, and those whose refs others hold or are to get. */
  list(): { ref: ObjectRef<unknown>; holders: ReadonlyMap<string, number> }[] {
    const shared = [...this.#entries.values()]
    const own = [...this.#puts].flatMap(([id, weak]) => {
      const ref = this.#entries.has(id) ? undefined : weak.deref()
      return ref ? [{ ref, holders: new Map<string, number>() }] : []
    })
    return [...shared, ...own]
  }

  /** This process's own ref, if it is one that others know of. */
  own(id: string): ObjectRef<unknown> | undefined {
    return this.#entries.get(id)?.ref
  }

  /** The refs that a process holds. */
  heldBy(holder: string): string[] {
    return [...this.#entries].filter(([, { holders }]) => holders.has(holder)).map(([id]) => id)
  }

  /** Holds a ref that is another's until the returned function is called. */
  keep(ref: ObjectRef<unknown>): () => void {
    const key = {}
    const unused = ref.use()
    this.#kept.set(key, ref)
    return () => {
      this.#kept.delete(key)
      unused()
    }
  }

  /** A ref goes into a message; the returned function is called when the message has been taken in. */
  send(ref: ObjectRef<unknown>): () => void {
    let entry = this.#entries.get(ref.id)
    if (!entry) {
      entry = { ref, travelling: 0, holders: new Map(), unused: ref.use() }
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

  /**
   * The value of a ref or where it lives, or its failure.
   *
   * @param lost a process where the value could not be reached
   */
  async fetch(id: string, lost?: string): Promise<Outcome> {
    return await this.#entry(id).ref.outcome(lost)
  }

  #entry(id: string): Entry {
    const entry = this.#entries.get(id)
    if (!entry) throw new ObjectLostError(`the value of the ref ${id} was freed: no process held a ref of it any more`)
    return entry
  }

  #drop(id: string, entry: Entry): void {
    if (entry.travelling > 0 || entry.holders.size > 0 || this.#entries.get(id) !== entry) return
    this.#entries.delete(id)
    entry.unused()
    if (this.#entries.size === 0) this.onEmpty()
  }
}
