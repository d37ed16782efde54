import { JsonValueScanner } from './json-value.js'
import type { ParserOutput } from './parser.js'

const SPACE = /\s/

/** What became of a character: the call goes on, ends with it, or cannot go on with it, which then is not part of it. */
export type Scanned = 'open' | 'done' | 'failed'

/** Reads one call as it comes. */
export interface CallScanner {
  feed(char: string): Scanned
  /** Whether the call has begun in the output; before, it may turn out to be none. */
  readonly isCall: boolean
}

export interface ObjectCallOptions {
  /** The keys under which arguments may be. */
  argumentKeys: readonly string[]
  /** Whether an object that has only a name is none. */
  needsArguments: boolean
  /** Whether there is a tool of this name. */
  isTool(name: string): boolean
}

/** Reads a call that is a JSON object with a name and arguments, whose text is given out as it comes. */
export class ObjectCallScanner implements CallScanner {
  #state: 'start' | 'key or end' | 'key' | 'colon' | 'value' | 'behind value' = 'start'
  #scanner = new JsonValueScanner()
  #text = ''
  #key: unknown
  #name: string | undefined
  #id: string | undefined
  /** Arguments that came before the name. */
  #arguments: string | undefined
  isCall = false

  constructor(
    private readonly output: ParserOutput,
    private readonly options: ObjectCallOptions,
  ) {}

  feed(char: string): Scanned {
    if (this.#state === 'value') return this.#inValue(char)
    if (this.#state === 'key') return this.#inKey(char)
    if (SPACE.test(char)) return 'open'
    switch (this.#state) {
      case 'start':
        return this.#expect(char === '{', 'key or end')
      case 'colon':
        this.#scanner = new JsonValueScanner()
        this.#text = ''
        return this.#expect(char === ':', 'value')
      case 'key or end':
        if (char === '}') return this.#end()
        this.#scanner = new JsonValueScanner()
        this.#text = ''
        this.#state = 'key'
        return char === '"' ? this.#inKey(char) : 'failed'
      case 'behind value':
        return char === '}' ? this.#end() : this.#expect(char === ',', 'key or end')
    }
  }

  #expect(isThere: boolean, next: 'key or end' | 'value'): Scanned {
    this.#state = next
    return isThere ? 'open' : 'failed'
  }

  #inKey(char: string): Scanned {
    this.#text += char
    if (this.#scanner.feed(char) === 'inside') return 'open'
    this.#key = parsed(this.#text)
    this.#state = 'colon'
    return 'open'
  }

  #inValue(char: string): Scanned {
    const place = this.#scanner.feed(char)
    if (this.#scanner.kind === undefined) return place === 'inside' ? 'open' : 'failed'
    if (place !== 'behind') this.#text += char
    const isArguments = this.#isArguments()
    if (isArguments && this.#scanner.kind === 'object') this.#give()
    if (place === 'inside') return 'open'
    this.#state = 'behind value'
    if (!this.#take(isArguments)) return 'failed'
    return place === 'behind' ? this.feed(char) : 'open'
  }

  /** The first that there are; the text of those that come behind the name is given out as it comes. */
  #isArguments(): boolean {
    return this.options.argumentKeys.includes(String(this.#key)) && this.#arguments === undefined
  }

  #give(): void {
    if (this.#name === undefined) return
    if (!this.isCall) this.#begin(this.#name)
    this.output.addArguments(this.#text)
    this.#text = ''
  }

  /** Takes a value that is complete; false if it cannot be. */
  #take(isArguments: boolean): boolean {
    if (isArguments) {
      const written = this.#writtenArguments()
      if (written === undefined) return false
      this.#arguments = written
      if (this.#name !== undefined && !this.isCall) {
        this.#begin(this.#name)
        this.output.addArguments(written)
      }
      return true
    }
    if (this.#key === 'id' && this.#scanner.kind === 'string') this.#id ??= parsed(this.#text) as string | undefined
    if (this.#key !== 'name' || this.#name !== undefined) return true
    const name = parsed(this.#text)
    if (typeof name !== 'string' || name === '' || !this.options.isTool(name)) return false
    this.#name = name
    if (this.#arguments === undefined) return true
    this.#begin(name)
    this.output.addArguments(this.#arguments)
    return true
  }

  /** Arguments as an object, as a text that has one, or none. */
  #writtenArguments(): string | undefined {
    if (this.#scanner.kind === 'object') return this.#text
    const value = parsed(this.#text)
    if (value === null) return '{}'
    if (typeof value !== 'string') return undefined
    const inner = parsed(value)
    return typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? value : undefined
  }

  #begin(name: string): void {
    this.isCall = true
    this.output.beginCall(name, this.#id)
  }

  #end(): Scanned {
    if (this.isCall) return 'done'
    if (this.#name === undefined || this.options.needsArguments) return 'failed'
    this.#begin(this.#name)
    this.output.addArguments('{}')
    return 'done'
  }
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}
