import { type AST, RegExpParser } from '@eslint-community/regexpp'
import { InvalidInputError } from '@troupe/core'
import { CharacterSet } from './code-points.js'
import { anyOf, MOST_REPETITIONS, repeated } from './ebnf.js'

const LINE_ENDS = CharacterSet.of([0x0a, 0x0a], [0x0d, 0x0d], [0x2028, 0x2029])
const ANY = LINE_ENDS.negated()
const DEEPEST = 200

/** How the texts of a regular expression are written. */
export interface RegularExpressionOptions {
  /** The notation of one character of a set. */
  character: (set: CharacterSet) => string
  /** Whether all of the text must match, and not just a part of it that has no anchors. */
  isWhole: boolean
}

/**
 * A regular expression of JavaScript as a part of a grammar.
 * @throws InvalidInputError that says where, if it is none, or has what a grammar cannot say: lookaround, back-references,
 *   word boundaries, and anchors elsewhere than at the ends.
 */
export function regularExpression(pattern: string, options: RegularExpressionOptions): string {
  return new Converter(pattern, options).convert()
}

class Converter {
  #depth = 0

  constructor(
    private readonly source: string,
    private readonly options: RegularExpressionOptions,
  ) {}

  convert(): string {
    const { alternatives } = this.#parse()
    const around = repeated(this.options.character(CharacterSet.all), 0, Number.POSITIVE_INFINITY)
    const choices = alternatives.map(({ elements }) => {
      const isAtStart = isAnchor(elements[0], 'start')
      const isAtEnd = isAnchor(elements.at(-1), 'end')
      const inner = elements.slice(isAtStart ? 1 : 0, isAtEnd ? -1 : undefined)
      const isOpen = (isAnchored: boolean) => (isAnchored || this.options.isWhole ? [] : [around])
      return this.#sequence([
        ...isOpen(isAtStart),
        ...inner.map((element) => this.#element(element)),
        ...isOpen(isAtEnd),
      ])
    })
    return anyOf(choices)
  }

  #parse(): AST.Pattern {
    const parser = new RegExpParser()
    try {
      return parser.parsePattern(this.source, 0, this.source.length, { unicode: true })
    } catch (error) {
      try {
        return parser.parsePattern(this.source, 0, this.source.length, { unicode: false })
      } catch {
        const { index, message } = error as Error & { index?: number }
        throw new InvalidInputError(
          `${this.#name} is no regular expression: ${message.split(': ').at(-1)}${index === undefined ? '' : `, at character ${index}`}`,
        )
      }
    }
  }

  get #name(): string {
    return `/${this.source.slice(0, 100)}${this.source.length > 100 ? '…' : ''}/`
  }

  #sequence(parts: readonly string[]): string {
    return parts.length === 0 ? '""' : `(${parts.join(' ')})`
  }

  #alternatives(alternatives: readonly AST.Alternative[]): string {
    if (++this.#depth > DEEPEST)
      throw new InvalidInputError(`${this.#name} has groups in more than ${DEEPEST} groups; flatten it`)
    const choices = alternatives.map(({ elements }) =>
      this.#sequence(elements.map((element) => this.#element(element))),
    )
    this.#depth--
    return anyOf(choices)
  }

  #element(element: AST.Element): string {
    switch (element.type) {
      case 'Character':
        return this.options.character(CharacterSet.of([element.value, element.value]))
      case 'CharacterSet':
        return this.options.character(setOf(element))
      case 'CharacterClass':
        return this.options.character(this.#classOf(element))
      case 'Group':
        if (element.modifiers) throw this.#unsupported(element, 'modifiers of a group')
        return this.#alternatives(element.alternatives)
      case 'CapturingGroup':
        return this.#alternatives(element.alternatives)
      case 'Quantifier': {
        const { min, max } = element
        if (min > MOST_REPETITIONS || (max !== Number.POSITIVE_INFINITY && max > MOST_REPETITIONS)) {
          throw this.#unsupported(element, `more than ${MOST_REPETITIONS} repetitions`)
        }
        return repeated(this.#element(element.element), min, max)
      }
      default:
        throw this.#unsupported(
          element,
          { Assertion: 'an assertion', Backreference: 'a back-reference' }[element.type as string] ?? element.type,
        )
    }
  }

  #classOf(node: AST.CharacterClass): CharacterSet {
    let set = CharacterSet.of()
    for (const element of node.elements) {
      if (element.type === 'Character') set = set.union(CharacterSet.of([element.value, element.value]))
      else if (element.type === 'CharacterClassRange')
        set = set.union(CharacterSet.of([element.min.value, element.max.value]))
      else if (element.type === 'CharacterSet') set = set.union(setOf(element))
      else throw this.#unsupported(element, 'a class in a class')
    }
    const found = node.negate ? set.negated() : set.intersection(CharacterSet.all)
    if (found.ranges.length === 0) throw this.#unsupported(node, 'a class without characters')
    return found
  }

  #unsupported(node: AST.Node, what: string): InvalidInputError {
    return new InvalidInputError(
      `${this.#name} has ${what} at character ${node.start} (${node.raw.slice(0, 40)}), which a text cannot be held to; leave it out`,
    )
  }
}

function isAnchor(element: AST.Element | undefined, kind: 'start' | 'end'): boolean {
  return element?.type === 'Assertion' && element.kind === kind
}

const known = new Map<string, CharacterSet>()

/** A class such as `\d`, `.` or `\p{L}`. */
function setOf({ kind, raw }: AST.CharacterSet): CharacterSet {
  if (kind === 'any') return ANY
  let set = known.get(raw)
  if (!set) {
    set = CharacterSet.matching(new RegExp(`^${raw}$`, 'u'))
    if (known.size < 100) known.set(raw, set)
  }
  return set
}
