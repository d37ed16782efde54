/** Numbers that follow from a seed (Marsaglia, "Xorshift RNGs", 2003). */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = (Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995) | 1
  }

  below(limit: number): number {
    this.#state ^= this.#state << 13
    this.#state ^= this.#state >>> 17
    this.#state ^= this.#state << 5
    return (this.#state >>> 0) % limit
  }

  from(least: number, most: number): number {
    return least + this.below(most - least + 1)
  }

  happens(oneIn: number): boolean {
    return this.below(oneIn) === 0
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!
  }

  number(): number {
    return this.below(2001) / 1000 - 1
  }

  /** The whole numbers below a limit, in some order. */
  shuffled(limit: number): number[] {
    const numbers = Array.from({ length: limit }, (_, i) => i)
    for (let i = limit - 1; i > 0; i--) {
      const j = this.below(i + 1)
      ;[numbers[i], numbers[j]] = [numbers[j]!, numbers[i]!]
    }
    return numbers
  }
}
