import { actor, currentActor } from '@troupe/core'

/** The actor that most tests call. */
export class Counter {
  constructor(private n = 0) {
    if (n < 0) throw new RangeError(`a counter starts at 0 or more, found ${n}`)
  }

  add(by = 1): number {
    this.n += by
    return this.n
  }

  async *countTo(limit: number): AsyncGenerator<number> {
    while (this.n < limit) yield ++this.n
  }

  *letters(text: string): Generator<string> {
    for (const letter of text) yield letter
  }

  where() {
    return currentActor()
  }
}
export const RemoteCounter = actor(import.meta.url, Counter)
