import { ContentScanner } from '../content-scanner.js'
import { ObjectCallScanner } from './call-scanner.js'
import { type ParsedText, ParserOutput, type ToolCallParser } from './parser.js'

export const PYTHON_TAG = '<|python_tag|>'

/**
 * Llama 3: the answer is `{"name": …, "parameters": {…}}`, or several with `;` between them, or they are behind
 * `<|python_tag|>`. JSON that names no tool is content.
 */
export class LlamaParser implements ToolCallParser {
  readonly #output: ParserOutput
  readonly #content: ContentScanner
  #call: ObjectCallScanner | undefined
  #raw = ''

  constructor(
    makeId: () => string,
    private readonly tools: ReadonlySet<string>,
  ) {
    this.#output = new ParserOutput(makeId)
    this.#content = new ContentScanner([PYTHON_TAG], (text) => this.#output.addContent(text))
  }

  push(text: string): ParsedText {
    for (const char of text) this.#feed(char)
    return this.#output.take()
  }

  end(): ParsedText {
    this.#output.addContent(this.#raw)
    this.#raw = ''
    if (this.#output.calls > 0 && this.#content.isIdle && !this.#content.hasContent) this.#content.takeSpace()
    this.#content.end()
    return this.#output.take()
  }

  #feed(char: string): void {
    const canBegin = this.#content.isIdle && !this.#content.hasContent
    if (this.#call) {
      this.#inCall(this.#call, char)
    } else if (canBegin && char === '{') {
      this.#begin(this.#content.takeSpace(), char)
    } else if (canBegin && char === ';' && this.#output.calls > 0) {
      this.#content.hold(char)
    } else {
      const found = this.#content.feed(char)
      if (found) this.#begin(found.space + found.mark)
    }
  }

  #begin(raw: string, char?: string): void {
    this.#raw = raw
    this.#call = new ObjectCallScanner(this.#output, {
      argumentKeys: ['parameters', 'arguments'],
      needsArguments: true,
      isTool: (name) => this.tools.has(name),
    })
    if (char !== undefined) this.#inCall(this.#call, char)
  }

  #inCall(call: ObjectCallScanner, char: string): void {
    const scanned = call.feed(char)
    if (scanned !== 'failed') this.#raw += char
    if (call.isCall) this.#raw = ''
    if (scanned === 'open') return
    this.#call = undefined
    this.#content.hasContent = !call.isCall
    this.#output.addContent(this.#raw)
    this.#raw = ''
    if (scanned === 'failed') this.#feed(char)
  }
}
