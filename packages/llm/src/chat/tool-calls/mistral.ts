import { ContentScanner } from '../content-scanner.js'
import { type CallScanner, ObjectCallScanner } from './call-scanner.js'
import { NamedCallScanner } from './named-call-scanner.js'
import { type ParsedText, ParserOutput, type ToolCallParser } from './parser.js'

export const TOOL_CALLS = '[TOOL_CALLS]'
const SPACE = /\s/

/** Mistral: `[TOOL_CALLS][{"name": …, "arguments": {…}}, …]`, or `[TOOL_CALLS]name[ARGS]{…}` once a call. */
export class MistralParser implements ToolCallParser {
  readonly #output: ParserOutput
  readonly #content: ContentScanner
  #state: 'content' | 'behind mark' | 'call' | 'list begins' | 'list goes on' = 'content'
  #call: CallScanner | undefined
  #isList = false
  #raw = ''

  constructor(makeId: () => string) {
    this.#output = new ParserOutput(makeId)
    this.#content = new ContentScanner([TOOL_CALLS], (text) => this.#output.addContent(text))
  }

  push(text: string): ParsedText {
    for (const char of text) this.#feed(char)
    return this.#output.take()
  }

  end(): ParsedText {
    this.#output.addContent(this.#raw)
    this.#raw = ''
    if (this.#output.calls > 0 && this.#content.isIdle) this.#content.takeSpace()
    this.#content.end()
    return this.#output.take()
  }

  #feed(char: string): void {
    if (this.#state === 'content') {
      this.#inContent(char)
    } else if (this.#state === 'call') {
      this.#inCall(this.#call!, char)
    } else if (SPACE.test(char)) {
      this.#raw += char
    } else if (this.#state === 'behind mark' && char === '[') {
      this.#raw += char
      this.#state = 'list begins'
    } else if (this.#state === 'behind mark') {
      this.#isList = false
      this.#begin(char === '{' ? this.#objectCall() : new NamedCallScanner(this.#output), char)
    } else if (this.#state === 'list begins' && char === '{') {
      this.#isList = true
      this.#begin(this.#objectCall(), char)
    } else if (this.#state === 'list goes on' && char === ',') {
      this.#raw += char
      this.#state = 'list begins'
    } else if (this.#state === 'list goes on' && char === ']') {
      this.#raw = ''
      this.#state = 'content'
    } else {
      this.#giveUp()
      this.#feed(char)
    }
  }

  #inContent(char: string): void {
    const found = this.#content.feed(char)
    if (!found) return
    this.#raw = found.space + found.mark
    this.#state = 'behind mark'
  }

  #objectCall(): CallScanner {
    return new ObjectCallScanner(this.#output, {
      argumentKeys: ['arguments', 'parameters'],
      needsArguments: false,
      isTool: () => true,
    })
  }

  #begin(call: CallScanner, char: string): void {
    this.#call = call
    this.#state = 'call'
    this.#inCall(call, char)
  }

  #inCall(call: CallScanner, char: string): void {
    const scanned = call.feed(char)
    if (scanned !== 'failed') this.#raw += char
    if (call.isCall) this.#raw = ''
    if (scanned === 'open') return
    if (scanned === 'failed') this.#giveUp()
    else this.#state = this.#isList ? 'list goes on' : 'content'
    if (scanned === 'failed') this.#feed(char)
  }

  /** What has come is no call, or not another one. */
  #giveUp(): void {
    this.#state = 'content'
    this.#output.addContent(this.#raw)
    this.#raw = ''
  }
}
