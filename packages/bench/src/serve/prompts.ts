/** Prompts of tokens that look drawn, and are the same in each run. */
export class Prompts {
  #state: number

  /** @param vocabularySize tokens are drawn from the upper nine tenths of the vocabulary, where no special tokens are */
  constructor(
    private readonly vocabularySize: number,
    seed = 1,
  ) {
    this.#state = seed
  }

  /** The next prompt of so many tokens. */
  next(tokens: number): number[] {
    const least = Math.floor(this.vocabularySize / 10)
    return Array.from({ length: tokens }, () => least + (this.#draw() % (this.vocabularySize - least)))
  }

  /** A linear congruential generator (Numerical Recipes), without its low bits, which repeat soon. */
  #draw(): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0
    return this.#state >>> 8
  }
}
