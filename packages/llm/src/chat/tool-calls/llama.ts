import { CallParser } from './call-parser.js'
import type { CallScanner } from './call-scanner.js'

export const PYTHON_TAG = '<|python_tag|>'

/**
 * Llama 3: the answer is `{"name": …, "parameters": {…}}`, or several with `;` between them, or they are behind
 * `<|python_tag|>`. JSON that names no tool is content.
 */
export class LlamaParser extends CallParser {
  constructor(
    makeId: () => string,
    private readonly tools: ReadonlySet<string>,
  ) {
    super(makeId, PYTHON_TAG)
  }

  protected override get isBehindCalls(): boolean {
    return !this.content.hasContent
  }

  protected feedOutside(char: string): void {
    const canBegin = this.content.isIdle && !this.content.hasContent
    if (canBegin && char === '{') {
      this.#begin(this.content.takeSpace())
      this.feed(char)
    } else if (canBegin && char === ';' && this.output.calls > 0) {
      this.content.hold(char)
    } else {
      const found = this.content.feed(char)
      if (found) this.#begin(found.space + found.mark)
    }
  }

  protected ended(call: CallScanner): void {
    this.content.hasContent = !call.isCall
  }

  #begin(raw: string): void {
    this.raw = raw
    const isTool = (name: string) => this.tools.has(name)
    this.begin(this.objectCall({ argumentKeys: ['parameters', 'arguments'], needsArguments: true, isTool }))
  }
}
