/** Lets a number of calls run at a time, in the order they came in. */
export class Lane {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(readonly limit: number) {
    this.#free = limit
  }

  /** Takes a turn if one is free; each turn that was taken must be ended with {@link leave}. */
  tryEnter(): boolean {
    if (this.#free === 0) return false
    this.#free -= 1
    return true
  }

  /** Waits for a turn. */
  async enter(): Promise<void> {
    if (!this.tryEnter()) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  /** Ends a turn, which the one who has waited longest gets. */
  leave(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#free += 1
  }

  /** Resolves when every call that has come in so far has run. */
  async drained(): Promise<void> {
    await Promise.all(Array.from({ length: this.limit }, () => this.enter()))
    for (let turn = 0; turn < this.limit; turn++) this.leave()
  }
}
