import { ContentScanner } from '../content-scanner.js'
import { type CallScanner, type ObjectCallOptions, ObjectCallScanner } from './call-scanner.js'
import { type ParsedText, ParserOutput, type ToolCallParser } from './parser.js'

/**
 * A parser of calls behind a mark: content until there is one, then a call, which is content after all if it turns out to be none.
 * Formats differ in what is between the calls.
 */
export abstract class CallParser implements ToolCallParser {
  protected readonly output: ParserOutput
  protected readonly content: ContentScanner
  /** The text of what may be a call, until it is known to be one. */
  protected raw = ''
  #call: CallScanner | undefined

  constructor(makeId: () => string, mark: string) {
    this.output = new ParserOutput(makeId)
    this.content = new ContentScanner([mark], (text) => this.output.addContent(text))
  }

  push(text: string): ParsedText {
    for (const char of text) this.feed(char)
    return this.output.take()
  }

  end(): ParsedText {
    this.giveUp()
    if (this.output.calls > 0 && this.content.isIdle && this.isBehindCalls) this.content.takeSpace()
    this.content.end()
    return this.output.take()
  }

  /** Takes a character that is not in a call. */
  protected abstract feedOutside(char: string): void

  /** A call has ended, or what seemed to be one cannot go on. */
  protected abstract ended(call: CallScanner, isDone: boolean): void

  /** Whether space at the end of an answer with calls belongs to them. */
  protected get isBehindCalls(): boolean {
    return true
  }

  protected feed(char: string): void {
    if (this.#call) this.#feedCall(this.#call, char)
    else this.feedOutside(char)
  }

  /** From the next character on there is a call. */
  protected begin(call: CallScanner): void {
    this.#call = call
  }

  protected objectCall(options: Partial<ObjectCallOptions> = {}): CallScanner {
    return new ObjectCallScanner(this.output, {
      argumentKeys: ['arguments', 'parameters'],
      needsArguments: false,
      isTool: () => true,
      ...options,
    })
  }

  /** What has come is no call, or not another one. */
  protected giveUp(): void {
    this.output.addContent(this.raw)
    this.raw = ''
  }

  #feedCall(call: CallScanner, char: string): void {
    const scanned = call.feed(char)
    if (scanned !== 'failed') this.raw += char
    if (call.isCall) this.raw = ''
    if (scanned === 'open') return
    this.#call = undefined
    this.giveUp()
    this.ended(call, scanned === 'done')
    if (scanned === 'failed') this.feed(char)
  }
}
