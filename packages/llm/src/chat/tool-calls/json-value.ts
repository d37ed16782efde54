const SPACE = /\s/
const PRIMITIVE = /[-+.\w]/

/** Finds the end of a JSON value that comes character by character; it is not checked further. */
export class JsonValueScanner {
  #depth = 0
  #inString = false
  #isEscaped = false
  /** Known with the first character that is no space. */
  kind: 'object' | 'array' | 'string' | 'primitive' | undefined

  /** Whether the next character is in the value, is its last, or is behind it (or in its place, where there is none). */
  feed(char: string): 'inside' | 'last' | 'behind' {
    if (this.kind === undefined) {
      if (SPACE.test(char)) return 'inside'
      this.kind = kindOf(char)
      if (this.kind === undefined) return 'behind'
    } else if (this.#inString) {
      return this.#inText(char)
    }
    if (this.kind === 'primitive') return PRIMITIVE.test(char) ? 'inside' : 'behind'
    if (char === '"') this.#inString = true
    else if (char === '{' || char === '[') this.#depth++
    else if (char === '}' || char === ']') this.#depth--
    return this.#depth === 0 && !this.#inString ? 'last' : 'inside'
  }

  #inText(char: string): 'inside' | 'last' {
    if (this.#isEscaped) this.#isEscaped = false
    else if (char === '\\') this.#isEscaped = true
    else if (char === '"') this.#inString = false
    return !this.#inString && this.#depth === 0 ? 'last' : 'inside'
  }
}

function kindOf(char: string): JsonValueScanner['kind'] {
  if (char === '{') return 'object'
  if (char === '[') return 'array'
  if (char === '"') return 'string'
  return PRIMITIVE.test(char) ? 'primitive' : undefined
}
