import { ContentScanner } from '../content-scanner.js'
import { CallParser } from './call-parser.js'
import type { CallScanner } from './call-scanner.js'
import type { ParsedText } from './parser.js'

export const HERMES_BEGIN = '<tool_call>'
export const HERMES_END = '</tool_call>'

/** Hermes, Qwen 2.5 and 3: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, once a call. */
export class HermesParser extends CallParser {
  readonly #ends: ContentScanner
  #isBehindCall = false

  constructor(makeId: () => string) {
    super(makeId, HERMES_BEGIN)
    this.#ends = new ContentScanner([HERMES_END], (text) => {
      this.#isBehindCall = false
      for (const char of text) this.feed(char)
    })
  }

  override end(): ParsedText {
    if (this.#isBehindCall) this.#ends.end()
    return super.end()
  }

  protected feedOutside(char: string): void {
    if (this.#isBehindCall) {
      if (this.#ends.feed(char)) this.#isBehindCall = false
      return
    }
    const found = this.content.feed(char)
    if (!found) return
    this.raw = found.space + found.mark
    this.begin(this.objectCall())
  }

  protected ended(call: CallScanner): void {
    this.#isBehindCall = call.isCall
  }
}
