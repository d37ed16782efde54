import { CallParser } from './call-parser.js'
import type { CallScanner } from './call-scanner.js'
import { NamedCallScanner } from './named-call-scanner.js'

export const TOOL_CALLS = '[TOOL_CALLS]'
const SPACE = /\s/

/** Mistral: `[TOOL_CALLS][{"name": …, "arguments": {…}}, …]`, or `[TOOL_CALLS]name[ARGS]{…}` once a call. */
export class MistralParser extends CallParser {
  #state: 'content' | 'behind mark' | 'list begins' | 'list goes on' = 'content'
  #isList = false

  constructor(makeId: () => string) {
    super(makeId, TOOL_CALLS)
  }

  protected feedOutside(char: string): void {
    if (this.#state === 'content') {
      this.#inContent(char)
    } else if (SPACE.test(char)) {
      this.raw += char
    } else if (this.#state === 'behind mark' && char === '[') {
      this.raw += char
      this.#state = 'list begins'
    } else if (this.#state === 'behind mark') {
      this.#isList = false
      this.begin(char === '{' ? this.objectCall() : new NamedCallScanner(this.output))
      this.feed(char)
    } else if (this.#state === 'list begins' && char === '{') {
      this.#isList = true
      this.begin(this.objectCall())
      this.feed(char)
    } else if (this.#state === 'list goes on' && char === ',') {
      this.raw += char
      this.#state = 'list begins'
    } else if (this.#state === 'list goes on' && char === ']') {
      this.raw = ''
      this.#state = 'content'
    } else {
      this.#state = 'content'
      this.giveUp()
      this.feed(char)
    }
  }

  protected ended(_call: CallScanner, isDone: boolean): void {
    this.#state = isDone && this.#isList ? 'list goes on' : 'content'
  }

  #inContent(char: string): void {
    const found = this.content.feed(char)
    if (!found) return
    this.raw = found.space + found.mark
    this.#state = 'behind mark'
  }
}
