import type { ToolCallDelta } from '../messages.js'

/** What a piece of an answer settles. */
export interface ParsedText {
  content: string
  toolCalls: ToolCallDelta[]
}

/**
 * Tells the calls of tools in an answer from its content, as the text comes. However it is cut into pieces, what is given out
 * is the same, put together. What looks like a call and is none is content.
 */
export interface ToolCallParser {
  push(text: string): ParsedText
  /** The rest, when no more text comes. */
  end(): ParsedText
}

/** What a parser has settled and not given out. */
export class ParserOutput {
  #content = ''
  #toolCalls: ToolCallDelta[] = []
  /** How many calls have begun. */
  calls = 0

  /** @param makeId makes the id of a call for which the model gave none */
  constructor(private readonly makeId: () => string) {}

  addContent(text: string): void {
    this.#content += text
  }

  beginCall(name: string, id = this.makeId()): void {
    this.#toolCalls.push({ index: this.calls++, id, name, arguments: '' })
  }

  /** Of the call that began last. */
  addArguments(text: string): void {
    const index = this.calls - 1
    const last = this.#toolCalls.at(-1)
    if (last?.index === index) last.arguments += text
    else this.#toolCalls.push({ index, arguments: text })
  }

  take(): ParsedText {
    const parsed = { content: this.#content, toolCalls: this.#toolCalls }
    this.#content = ''
    this.#toolCalls = []
    return parsed
  }
}
