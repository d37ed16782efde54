/** Code points from the first to the last, both included. */
export type CodePoints = readonly [first: number, last: number]

const LAST = 0x10ffff

/** A set of Unicode characters, which surrogates are not. */
export class CharacterSet {
  private constructor(readonly ranges: readonly CodePoints[]) {}

  static of(...ranges: CodePoints[]): CharacterSet {
    const joined: [number, number][] = []
    for (const [first, last] of ranges.toSorted(([a], [b]) => a - b)) {
      const before = joined.at(-1)
      if (before && first <= before[1] + 1) before[1] = Math.max(before[1], last)
      else joined.push([first, last])
    }
    return new CharacterSet(joined)
  }

  static readonly all = CharacterSet.of([0, 0xd7ff], [0xe000, LAST])

  /** Those that a regular expression of one character finds. */
  static matching(pattern: RegExp): CharacterSet {
    const ranges: CodePoints[] = []
    let first = -1
    for (let code = 0; code <= LAST + 1; code++) {
      const isIn = code <= LAST && (code < 0xd800 || code > 0xdfff) && pattern.test(String.fromCodePoint(code))
      if (isIn && first < 0) first = code
      if (isIn || first < 0) continue
      ranges.push([first, code - 1])
      first = -1
    }
    return CharacterSet.of(...ranges)
  }

  has(code: number): boolean {
    return this.ranges.some(([first, last]) => first <= code && code <= last)
  }

  union(other: CharacterSet): CharacterSet {
    return CharacterSet.of(...this.ranges, ...other.ranges)
  }

  without(other: CharacterSet): CharacterSet {
    let rest: CodePoints[] = [...this.ranges]
    for (const [first, last] of other.ranges) {
      rest = rest.flatMap(([start, end]): CodePoints[] => {
        const before: CodePoints[] = start < first ? [[start, Math.min(end, first - 1)]] : []
        const after: CodePoints[] = end > last ? [[Math.max(start, last + 1), end]] : []
        return [...before, ...after]
      })
    }
    return CharacterSet.of(...rest)
  }

  negated(): CharacterSet {
    return CharacterSet.all.without(this)
  }

  intersection(other: CharacterSet): CharacterSet {
    return this.without(other.negated())
  }
}
