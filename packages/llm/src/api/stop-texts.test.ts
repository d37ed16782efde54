import test from 'ava'
import fc from 'fast-check'
import { piecesOf } from '../testing/pieces.js'
import { StopTexts } from './stop-texts.js'

function read(stops: readonly string[], pieces: readonly string[]) {
  const texts = new StopTexts(stops)
  const given = pieces.map((piece) => texts.push(piece))
  return { text: given.join('') + texts.end(), isStopped: texts.isStopped, given }
}

/** The text before the stop text that is complete first, looked for character by character. */
function expected(stops: readonly string[], text: string) {
  for (let end = 0; end <= text.length; end++) {
    const found = stops.filter((stop) => text.slice(0, end).endsWith(stop)).toSorted((a, b) => b.length - a.length)[0]
    if (found) return { text: text.slice(0, end - found.length), isStopped: true }
  }
  return { text, isStopped: false }
}

test('a stop text ends an answer across pieces, and what only begins like one is given out', (t) => {
  t.like(read(['END'], ['so', ' E', 'N', 'D more']), { text: 'so ', isStopped: true, given: ['so', ' ', '', ''] })
  t.like(read(['END'], ['so E', 'NTER']), { text: 'so ENTER', isStopped: false, given: ['so ', 'ENTER'] })
  t.like(read(['END'], ['so EN']), { text: 'so EN', isStopped: false, given: ['so '] })
  t.like(read(['abcd', 'bc'], ['xabcd']), { text: 'xa', isStopped: true })
  t.like(read([], ['any', 'thing']), { text: 'anything', isStopped: false, given: ['any', 'thing'] })
})

test('whatever the stop texts and the pieces, an answer ends at the one that is complete first', (t) => {
  const texts = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 20 })
  const stops = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 4 }), {
    maxLength: 3,
  })
  fc.assert(
    fc.property(
      stops,
      texts.chain((text) => fc.tuple(fc.constant(text), piecesOf(text))),
      (some, [text, pieces]) => {
        const { text: found, isStopped } = read(some, pieces)
        t.deepEqual({ text: found, isStopped }, expected(some, text))
      },
    ),
    { numRuns: 500 },
  )
})
