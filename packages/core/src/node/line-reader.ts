/** A line longer than this is handed on in pieces. */
const LONGEST = 16384

/** Cuts text that comes in pieces into lines. */
export class LineReader {
  #rest = ''
  readonly #take: (line: string) => void

  constructor(take: (line: string) => void) {
    this.#take = take
  }

  read(text: string): void {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) this.#take(line)
    if (this.#rest.length > LONGEST) this.end()
  }

  /** Hands on what is left without a line end. */
  end(): void {
    if (this.#rest) this.#take(this.#rest)
    this.#rest = ''
  }
}
