/** A part of the process that may keep it alive by waiting for what others send. */
export interface KeepsAlive {
  /** Whether it awaits nothing. */
  readonly isIdle: boolean
  /** Has it receive again, and keep the process alive meanwhile. */
  ref(): void
}

/** Parts that keep a process alive together: while one awaits something, all receive. */
export class KeepAliveGroup {
  /** Whether some do not keep the process alive, so that {@link ref} comes before anything is sent. */
  someUnref = false
  readonly #members = new Set<KeepsAlive>()

  add(member: KeepsAlive): void {
    this.#members.add(member)
  }

  delete(member: KeepsAlive): void {
    this.#members.delete(member)
  }

  /** Whether nothing is awaited, so that the member that asks need not keep the process alive until {@link ref} is called. */
  mayUnref(): boolean {
    for (const member of this.#members) if (!member.isIdle) return false
    this.someUnref = true
    return true
  }

  /** Has all keep the process alive, until each has asked anew. */
  ref(): void {
    if (!this.someUnref) return
    this.someUnref = false
    for (const member of this.#members) member.ref()
  }
}
