import { InvalidInputError } from '@troupe/core'
import { asciiOfBytes, byteRanges } from './byte-symbols.js'
import { CharacterSet } from './code-points.js'

/** More text than this describes more than a compiler takes in seconds. */
const MOST_TEXT = 1_000_000
/** The most that repetitions in repetitions may come to. */
export const MOST_REPETITIONS = 100_000

/** A grammar in the making: rules in the notation that the matcher reads. */
export class Ebnf {
  readonly #rules = new Map<string, string>()
  #size = 0

  /** The name of a new rule. What it says may be told later, so that it can refer to itself. */
  rule(hint: string, body?: string): string {
    const name = `${hint}_${this.#rules.size}`
    this.define(name, body ?? '')
    return name
  }

  define(name: string, body: string): void {
    this.#size += body.length
    if (this.#size > MOST_TEXT)
      throw new InvalidInputError('the structure describes too much to be held to; make it smaller')
    this.#rules.set(name, body)
  }

  text(root: string): string {
    return [`root ::= ${root}`, ...[...this.#rules].map(([name, body]) => `${name} ::= ${body}`)].join('\n')
  }
}

/** A text as itself. */
export function literal(text: string): string {
  return text === ''
    ? '""'
    : `"${Array.from(text, (character) => symbols(new TextEncoder().encode(character))).join('')}"`
}

/** One character of a set. */
export function oneOf(set: CharacterSet): string {
  const ascii = set
    .intersection(ASCII)
    .ranges.map(([first, last]) => (first === last ? escaped(first) : `${escaped(first)}-${escaped(last)}`))
  const others = set.without(CharacterSet.of([0, DELETE])).ranges.flatMap(([first, last]) => byteRanges(first, last))
  const sequences = others.map((sequence) =>
    sequence.map(([first, last]) => `"\\x7f" [${escaped(first - 0x80)}-${escaped(last - 0x80)}]`).join(' '),
  )
  const choices = [
    ...(ascii.length > 0 ? [`[${ascii.join('')}]`] : []),
    ...(set.has(DELETE) ? [literal('\x7f')] : []),
    ...sequences,
  ]
  if (choices.length === 0) throw new InvalidInputError('a class of characters has none in it')
  return anyOf(choices)
}

export function anyOf(choices: readonly string[]): string {
  return `(${choices.join(' | ')})`
}

export function repeated(item: string, min: number, max: number): string {
  if (min === 1 && max === 1) return item
  if (max === 0) return '""'
  const range = max === Number.POSITIVE_INFINITY ? (min === 0 ? '*' : min === 1 ? '+' : `{${min},}`) : `{${min},${max}}`
  return `(${item})${range}`
}

/** Behind an escape, a digit of a hexadecimal number would be part of it. */
function escaped(code: number): string {
  const character = String.fromCharCode(code)
  return /[G-Zg-z ]/.test(character) ? character : `\\x${code.toString(16).padStart(2, '0')}`
}

function symbols(bytes: Uint8Array): string {
  return Array.from(asciiOfBytes(bytes) ?? '', (symbol) => escaped(symbol.charCodeAt(0))).join('')
}

/** How a character set is written in a JSON string. */
export function inJsonString(set: CharacterSet): string {
  const plain = set.without(NEEDS_ESCAPE)
  const choices = plain.ranges.length > 0 ? [oneOf(plain)] : []
  for (const [first, last] of set.intersection(NEEDS_ESCAPE).ranges) {
    for (let code = first; code <= last; code++)
      choices.push(literal(JSON.stringify(String.fromCodePoint(code)).slice(1, -1)))
  }
  if (choices.length === 0) throw new InvalidInputError('a class of characters has none in it')
  return anyOf(choices)
}

const DELETE = 0x7f
const ASCII = CharacterSet.of([0, DELETE - 1])
const NEEDS_ESCAPE = CharacterSet.of([0, 0x1f], [0x22, 0x22], [0x5c, 0x5c])
