import { ContentScanner } from '../content-scanner.js'
import { ObjectCallScanner } from './call-scanner.js'
import { type ParsedText, ParserOutput, type ToolCallParser } from './parser.js'

export const HERMES_BEGIN = '<tool_call>'
export const HERMES_END = '</tool_call>'

/** Hermes, Qwen 2.5 and 3: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, once a call. */
export class HermesParser implements ToolCallParser {
  readonly #output: ParserOutput
  readonly #content: ContentScanner
  readonly #ends: ContentScanner
  #call: ObjectCallScanner | undefined
  #isBehindCall = false
  /** The text of what may be a call, until it is known to be one. */
  #raw = ''

  constructor(makeId: () => string) {
    this.#output = new ParserOutput(makeId)
    this.#content = new ContentScanner([HERMES_BEGIN], (text) => this.#output.addContent(text))
    this.#ends = new ContentScanner([HERMES_END], (text) => {
      this.#isBehindCall = false
      for (const char of text) this.#feed(char)
    })
  }

  push(text: string): ParsedText {
    for (const char of text) this.#feed(char)
    return this.#output.take()
  }

  end(): ParsedText {
    if (this.#isBehindCall) this.#ends.end()
    this.#output.addContent(this.#raw)
    if (this.#output.calls > 0 && this.#content.isIdle) this.#content.takeSpace()
    this.#content.end()
    this.#raw = ''
    return this.#output.take()
  }

  #feed(char: string): void {
    if (this.#call) this.#inCall(this.#call, char)
    else if (this.#isBehindCall) this.#behindCall(char)
    else {
      const found = this.#content.feed(char)
      if (!found) return
      this.#raw = found.space + found.mark
      this.#call = new ObjectCallScanner(this.#output, {
        argumentKeys: ['arguments', 'parameters'],
        needsArguments: false,
        isTool: () => true,
      })
    }
  }

  #inCall(call: ObjectCallScanner, char: string): void {
    const scanned = call.feed(char)
    if (scanned !== 'failed') this.#raw += char
    if (call.isCall) this.#raw = ''
    if (scanned === 'open') return
    this.#call = undefined
    this.#isBehindCall = call.isCall
    this.#output.addContent(this.#raw)
    this.#raw = ''
    if (scanned === 'failed') this.#feed(char)
  }

  #behindCall(char: string): void {
    if (this.#ends.feed(char)) this.#isBehindCall = false
  }
}
