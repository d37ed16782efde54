const RESET = '\x1b[0m'
const DIM = '\x1b[2m'
const BOLD = '\x1b[1m'
const CYAN = '\x1b[36m'
/** Controls that a model's text must not send to a terminal. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g

/** Shows an answer on a terminal as it comes: Markdown as it is written, its bold text bold and its code in a color; thoughts are dim. */
export class AnswerStyles {
  /** Marks that may go on in the next piece. */
  #held = ''
  #isBold = false
  #code: '' | '`' | '```' = ''
  #isLineStart = true

  /** A piece of a thought. */
  reasoning(text: string): string {
    return `${DIM}${text.replace(CONTROLS, '')}${RESET}`
  }

  /** A piece of the answer. */
  content(text: string): string {
    const all = this.#held + text.replace(CONTROLS, '')
    const [held] = /[*`]+$/.exec(all) ?? ['']
    this.#held = held
    return this.#styled(all.slice(0, all.length - held.length))
  }

  /** The rest. */
  end(): string {
    const rest = this.#styled(this.#held)
    this.#held = ''
    this.#isBold = false
    this.#code = ''
    this.#isLineStart = true
    return `${rest}${RESET}`
  }

  #styled(text: string): string {
    return text
      .split(/(\*\*|`+|\n)/)
      .map((part) => this.#part(part))
      .join('')
  }

  #part(part: string): string {
    if (part === '') return ''
    const isFence = part.startsWith('```')
    if (part === '\n') {
      // Bold text and code in a line end with it at the latest.
      const ends = this.#isBold || this.#code === '`'
      this.#isBold = false
      if (this.#code === '`') this.#code = ''
      this.#isLineStart = true
      return ends ? `\n${this.#style()}` : '\n'
    }
    const opensBlock = isFence && this.#isLineStart && this.#code === ''
    this.#isLineStart = this.#isLineStart && part.trim() === ''
    if (part === '**' && this.#code === '') return this.#toggled(part, () => (this.#isBold = !this.#isBold))
    if (isFence && (opensBlock || this.#code === '```')) {
      return this.#toggled(part, () => (this.#code = this.#code === '' ? '```' : ''))
    }
    if (part === '`' && this.#code !== '```') {
      return this.#toggled(part, () => (this.#code = this.#code === '' ? '`' : ''))
    }
    return part
  }

  /** A mark has the style of what is between it and its like. */
  #toggled(mark: string, toggle: () => unknown): string {
    const before = this.#isBold || this.#code !== ''
    toggle()
    const after = this.#isBold || this.#code !== ''
    return before && !after ? `${mark}${this.#style()}` : `${this.#style()}${mark}`
  }

  #style(): string {
    return `${RESET}${this.#isBold ? BOLD : ''}${this.#code === '' ? '' : CYAN}`
  }
}
