/** Lets a number of calls run at a time, in the order they came in. */
export class Lane {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(readonly limit: number) {
    this.#free = limit
  }

  /** Waits for a turn; the returned function ends it. */
  async acquire(): Promise<() => void> {
    if (!this.tryEnter()) await this.enter()
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      this.leave()
    }
  }

  /** Takes a turn if one is free. Each turn must be ended by one {@link leave}. */
  tryEnter(): boolean {
    if (this.#free === 0) return false
    this.#free -= 1
    return true
  }

  /** Waits for a turn behind those that wait already. */
  enter(): Promise<void> {
    return new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  leave(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#free += 1
  }

  /** Resolves when every call that has come in so far has run. */
  async drained(): Promise<void> {
    const turns = await Promise.all(Array.from({ length: this.limit }, () => this.acquire()))
    for (const turn of turns) turn()
  }
}
