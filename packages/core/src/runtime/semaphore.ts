import type { IncomingCall } from '../transport/incoming-call.js'

/** A call that waits for a turn, or code that waits for the moment when nobody has one. */
interface Waiting {
  readonly needsTurn: boolean
  readonly go: () => void
}

/** Lets a number of calls run at a time, in the order they came in. */
export class Semaphore {
  #running = 0
  #turns = 0
  /** The calls that have a turn and take time. */
  readonly holders = new Set<IncomingCall>()
  readonly #waiting: Waiting[] = []

  /** @param limit a whole number, or Infinity */
  constructor(readonly limit: number) {}

  /** The number of turns that are taken. */
  get running(): number {
    return this.#running
  }

  /** The number of turns that have ended. */
  get turns(): number {
    return this.#turns
  }

  /** Takes a turn if one is free; each turn that was taken must be ended with {@link leave}. */
  tryEnter(): boolean {
    if (this.#running >= this.limit || this.#waiting.length > 0) return false
    this.#running += 1
    return true
  }

  /** Waits for a turn. */
  async enter(): Promise<void> {
    if (!this.tryEnter()) await new Promise<void>((go) => this.#waiting.push({ needsTurn: true, go }))
  }

  /** Ends a turn, which the one who has waited longest gets. */
  leave(): void {
    this.#running -= 1
    this.#turns += 1
    for (let [first] = this.#waiting; first; [first] = this.#waiting) {
      if (first.needsTurn ? this.#running >= this.limit : this.#running > 0) return
      this.#waiting.shift()
      if (first.needsTurn) this.#running += 1
      first.go()
    }
  }

  /** Resolves when every call that has come in so far has run. */
  async drained(): Promise<void> {
    if (this.#running === 0 && this.#waiting.length === 0) return
    await new Promise<void>((go) => this.#waiting.push({ needsTurn: false, go }))
  }
}
