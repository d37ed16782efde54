/** What may keep the process alive by waiting for what others send. */
export interface KeepsAlive {
  /** Whether it awaits nothing. */
  readonly isIdle: boolean
  /** Has it receive again, after a rest. */
  wake(): void
}

/** Those that keep a process alive together: while one awaits something, all receive. */
export class KeepAliveGroup {
  /** Whether some rest, so that they must be woken before anything is sent. */
  someRest = false
  readonly #members = new Set<KeepsAlive>()

  add(member: KeepsAlive): void {
    this.#members.add(member)
  }

  delete(member: KeepsAlive): void {
    this.#members.delete(member)
  }

  /** Whether nothing is awaited, so that who asks may rest until it is woken. */
  mayRest(): boolean {
    for (const member of this.#members) if (!member.isIdle) return false
    this.someRest = true
    return true
  }

  /** Has all look anew whether they may rest. */
  wake(): void {
    if (!this.someRest) return
    this.someRest = false
    for (const member of this.#members) member.wake()
  }
}
