/**
 * Looks for texts that end an answer, in text that comes in pieces. What may still become one is held back. Of several, the one
 * that is complete first counts, and of those that end at once the longest.
 */
export class StopTexts {
  #held = ''
  /** The one that has come. */
  found: string | undefined

  constructor(private readonly stops: readonly string[]) {}

  get isStopped(): boolean {
    return this.found !== undefined
  }

  /** The text that is settled: that before a stop text if there is one, which ends it. */
  push(text: string): string {
    if (this.isStopped) return ''
    const all = this.#held + text
    const found = this.#first(all)
    if (found !== undefined) {
      this.found = found.stop
      this.#held = ''
      return all.slice(0, found.start)
    }
    const settled = all.length - this.#heldLength(all)
    this.#held = all.slice(settled)
    return all.slice(0, settled)
  }

  /** What is held back, when no more text comes. */
  end(): string {
    const held = this.#held
    this.#held = ''
    return held
  }

  #first(text: string): { start: number; stop: string } | undefined {
    let end = Number.POSITIVE_INFINITY
    let first: { start: number; stop: string } | undefined
    for (const stop of this.stops) {
      const at = text.indexOf(stop)
      if (at < 0) continue
      if (at + stop.length < end || (at + stop.length === end && at < first!.start)) {
        end = at + stop.length
        first = { start: at, stop }
      }
    }
    return first
  }

  /** The length of the longest end of a text that a stop text begins with. */
  #heldLength(text: string): number {
    let longest = 0
    for (const stop of this.stops) {
      for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
        if (text.endsWith(stop.slice(0, length))) longest = length
      }
    }
    return longest
  }
}
