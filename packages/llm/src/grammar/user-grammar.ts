import { InvalidInputError } from '@troupe/core'
import { CharacterSet, type CodePoints } from './code-points.js'
import { literal, oneOf } from './ebnf.js'

const PART = /#[^\n]*|"((?:[^"\\\n]|\\.)*)"|\[((?:[^\]\\\n]|\\.)*)\]/gsu
const ESCAPES: Record<string, string> = {
  n: '\n',
  r: '\r',
  t: '\t',
  b: '\b',
  f: '\f',
  v: '\v',
  0: '\0',
  a: '\x07',
  e: '\x1b',
}
const ESCAPE = /\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))|(.)/gsu

/**
 * A grammar that somebody wrote, with its texts and classes of characters as the matcher needs them. What else is wrong with it
 * the matcher says.
 */
export function userGrammar(ebnf: string): string {
  return ebnf.replace(PART, (part, text: string | undefined, set: string | undefined) => {
    // Where nothing has to change, complaints of the matcher are about what was written.
    if (/^("[^\\]*"|\[[^^\\].*\])$/.test(part) && /^[\x20-\x7e]*$/.test(part) && !part.slice(1).includes('\\'))
      return part
    if (text !== undefined) return literal(String.fromCodePoint(...characters(text).map(({ code }) => code)))
    return set === undefined ? '' : oneOf(classOf(set, part))
  })
}

interface Character {
  code: number
  isEscaped: boolean
}

function characters(text: string): Character[] {
  return [...text.matchAll(ESCAPE)].map(([, x, u, long, letter, plain]) => {
    const hex = x ?? u ?? long
    if (hex !== undefined) return { code: Math.min(0x10ffff, Number.parseInt(hex, 16)), isEscaped: true }
    return { code: (plain ?? ESCAPES[letter!] ?? letter!).codePointAt(0)!, isEscaped: plain === undefined }
  })
}

function classOf(text: string, part: string): CharacterSet {
  const isNegated = text.startsWith('^')
  const all = characters(isNegated ? text.slice(1) : text)
  const ranges: CodePoints[] = []
  for (let at = 0; at < all.length; at++) {
    const first = all[at]!.code
    const dash = all[at + 1]
    const isRange = dash?.code === 0x2d && !dash.isEscaped && at + 2 < all.length
    const last = isRange ? all[at + 2]!.code : first
    if (last < first)
      throw new InvalidInputError(`the grammar has the class ${part.slice(0, 60)}, whose range goes backwards`)
    ranges.push([first, last])
    if (isRange) at += 2
  }
  const set = CharacterSet.of(...ranges)
  const found = isNegated ? set.negated() : set.intersection(CharacterSet.all)
  if (found.ranges.length === 0)
    throw new InvalidInputError(`the grammar has the class ${part.slice(0, 60)}, which no character is of`)
  return found
}
