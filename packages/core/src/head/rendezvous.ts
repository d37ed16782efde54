import { CollectiveError } from '@troupe/tensor'

interface Meeting {
  readonly values: unknown[]
  readonly waiting: Map<number, { resolve(values: unknown[]): void; reject(error: Error): void }>
}

/** Exchange of values between the members of groups: all wait until the last has come. */
export class Rendezvous {
  readonly #rendezvous = new Map<string, Meeting>()

  /** Resolves with the values of all members, in rank order, once all are there. */
  meet(id: string, rank: number, size: number, value: unknown): Promise<unknown[]> {
    let meeting = this.#rendezvous.get(id)
    if (!meeting) {
      meeting = { values: [], waiting: new Map() }
      this.#rendezvous.set(id, meeting)
    }
    const { values, waiting } = meeting
    waiting.get(rank)?.reject(new Error(`rank ${rank} has come a second time`))
    values[rank] = value
    return new Promise((resolve, reject) => {
      waiting.set(rank, { resolve, reject })
      if (waiting.size < size) return
      this.#rendezvous.delete(id)
      for (const member of waiting.values()) member.resolve(values)
    })
  }

  /** Ends a meeting that cannot come about. */
  leave(id: string, reason: string): void {
    const meeting = this.#rendezvous.get(id)
    this.#rendezvous.delete(id)
    for (const member of meeting?.waiting.values() ?? []) member.reject(new CollectiveError(reason))
  }
}
