import fc from 'fast-check'

/** A text, cut into pieces at any places. */
export function piecesOf(text: string): fc.Arbitrary<string[]> {
  return fc.array(fc.nat(text.length), { maxLength: 12 }).map((places) => {
    const cuts = [0, ...places.toSorted((a, b) => a - b), text.length]
    return cuts.slice(1).map((end, index) => text.slice(cuts[index], end))
  })
}
