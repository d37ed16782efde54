import { ContentScanner } from './content-scanner.js'

/** The marks around what a model thinks before it answers. */
export interface ReasoningMarks {
  begin: string
  end: string
}

const KNOWN: readonly ReasoningMarks[] = [
  { begin: '<think>', end: '</think>' },
  { begin: '[THINK]', end: '[/THINK]' },
]

/** The marks that a chat template knows, if any. */
export function reasoningMarksOf(template: string): ReasoningMarks | undefined {
  return KNOWN.find(({ end }) => template.includes(end))
}

/** Whether a prompt ends inside of thinking, which the template has begun for the model. */
export function endsInReasoning(prompt: string, { begin }: ReasoningMarks): boolean {
  return prompt.trimEnd().endsWith(begin)
}

/** What a piece of an answer adds to each part. */
export interface SplitText {
  reasoning: string
  content: string
}

/**
 * Splits what a model thinks from its answer as it comes. Thinking is at the beginning, to its end mark; space around the marks
 * belongs to neither. What is never ended is thinking as a whole.
 */
export class ReasoningSplitter {
  #state: 'start' | 'reasoning' | 'behind' | 'content'
  #reasoning = ''
  #content = ''
  #hasReasoned = false
  readonly #begins: ContentScanner
  readonly #ends: ContentScanner

  /** @param isInside whether the prompt has begun the thinking */
  constructor(marks: ReasoningMarks, isInside: boolean) {
    this.#state = isInside ? 'reasoning' : 'start'
    this.#begins = new ContentScanner([marks.begin], (text) => {
      this.#content += text
      this.#state = 'content'
    })
    this.#ends = new ContentScanner([marks.end], (text) => {
      this.#reasoning += this.#hasReasoned ? text : text.trimStart()
      this.#hasReasoned ||= text.trim() !== ''
    })
  }

  push(text: string): SplitText {
    for (const char of text) this.#feed(char)
    return this.#take()
  }

  end(): SplitText {
    if (this.#state === 'start') this.#begins.end()
    if (this.#state === 'reasoning') {
      if (this.#ends.isIdle) this.#ends.takeSpace()
      this.#ends.end()
    }
    return this.#take()
  }

  #feed(char: string): void {
    if (this.#state === 'start') {
      if (this.#begins.feed(char)) this.#state = 'reasoning'
    } else if (this.#state === 'reasoning') {
      if (this.#ends.feed(char)) this.#state = 'behind'
    } else if (this.#state === 'content' || char.trim() !== '') {
      this.#state = 'content'
      this.#content += char
    }
  }

  #take(): SplitText {
    const split = { reasoning: this.#reasoning, content: this.#content }
    this.#reasoning = ''
    this.#content = ''
    return split
  }
}
