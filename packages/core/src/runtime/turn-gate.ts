/**
 * Lets only so many through in one turn of the event loop, in their order, so that thousands at once do not keep everything
 * else from its turn.
 */
export class TurnGate {
  readonly #waiting: (() => void)[] = []
  #passed = 0
  #isScheduled = false

  /** @param most the number that pass in a turn */
  constructor(private readonly most: number) {}

  /** Resolves when it is the caller's turn; undefined where that is now. */
  pass(): Promise<void> | undefined {
    this.#schedule()
    if (this.#waiting.length === 0 && this.#passed < this.most) {
      this.#passed += 1
      return undefined
    }
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      const next = this.#waiting.splice(0, this.most)
      this.#passed = next.length
      if (next.length > 0) this.#schedule()
      for (const pass of next) pass()
    })
  }
}
