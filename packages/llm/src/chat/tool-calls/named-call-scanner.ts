import type { CallScanner, Scanned } from './call-scanner.js'
import { JsonValueScanner } from './json-value.js'
import type { ParserOutput } from './parser.js'

const SPACE = /\s/
const WORD = /[\w.-]/
const ARGUMENTS = '[ARGS]'
const CALL_ID = '[CALL_ID]'

/** Reads a call that is written `name[CALL_ID]id[ARGS]{…}`, of which the marks may be left out. */
export class NamedCallScanner implements CallScanner {
  #state: 'name' | 'mark' | 'id' | 'before arguments' | 'arguments' = 'name'
  #name = ''
  #mark = ''
  #id = ''
  readonly #arguments = new JsonValueScanner()
  isCall = false

  constructor(private readonly output: ParserOutput) {}

  feed(char: string): Scanned {
    switch (this.#state) {
      case 'name':
        if (char === '[' && this.#name !== '') return this.#inMark(char)
        if (char === '{' && this.#name !== '') return this.#begin(char)
        if (!WORD.test(char)) return 'failed'
        this.#name += char
        return 'open'
      case 'mark':
        return this.#inMark(char)
      case 'id':
        if (char === '[') return this.#inMark(char)
        if (!WORD.test(char)) return 'failed'
        this.#id += char
        return 'open'
      case 'before arguments':
        if (SPACE.test(char)) return 'open'
        return char === '{' ? this.#begin(char) : 'failed'
      case 'arguments':
        this.output.addArguments(char)
        return this.#arguments.feed(char) === 'inside' ? 'open' : 'done'
    }
  }

  #inMark(char: string): Scanned {
    this.#state = 'mark'
    this.#mark += char
    if (this.#mark === ARGUMENTS) this.#state = 'before arguments'
    else if (this.#mark === CALL_ID && this.#id === '') this.#state = 'id'
    else if (!ARGUMENTS.startsWith(this.#mark) && !CALL_ID.startsWith(this.#mark)) return 'failed'
    if (this.#state !== 'mark') this.#mark = ''
    return 'open'
  }

  #begin(char: string): Scanned {
    this.#state = 'arguments'
    this.isCall = true
    this.output.beginCall(this.#name, this.#id || undefined)
    return this.feed(char)
  }
}
