const SPACE = /\s/

/**
 * Looks for marks in a text that comes character by character. What may still become a mark is held back, and so is the space
 * before it, which belongs to the mark.
 */
export class ContentScanner {
  #space = ''
  #partial = ''
  /** Whether anything but space has been given out since the last mark. */
  hasContent = false

  /** @param give takes text that is no mark */
  constructor(
    private readonly marks: readonly string[],
    private readonly give: (text: string) => void,
  ) {}

  /** Whether nothing is held that may become a mark. */
  get isIdle(): boolean {
    return this.#partial === ''
  }

  /** Takes a character; if it completes a mark, the mark and what was held before it. */
  feed(char: string): { mark: string; space: string } | undefined {
    if (this.#partial === '' && SPACE.test(char)) {
      this.#space += char
      return undefined
    }
    this.#partial += char
    if (this.marks.includes(this.#partial)) return { mark: this.#partial, space: this.takeSpace() }
    if (this.marks.some((mark) => mark.startsWith(this.#partial))) return undefined
    const [first, ...rest] = this.#partial
    this.hasContent = true
    this.give(this.takeSpace() + first)
    // What is left is shorter than a mark, so no mark is complete in it.
    for (const one of rest) this.feed(one)
    return undefined
  }

  /** Holds a character back like space. */
  hold(char: string): void {
    this.#space += char
  }

  /** The space that is held, which it holds no longer; the next text is behind a mark. */
  takeSpace(): string {
    const space = this.#space
    this.#space = ''
    this.#partial = ''
    return space
  }

  /** Gives out what is held: no more text comes. */
  end(): void {
    const rest = this.#partial
    this.give(this.takeSpace() + rest)
  }
}
