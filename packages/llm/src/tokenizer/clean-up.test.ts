import test from 'ava'
import fc from 'fast-check'
import { cleanUp, settledLength } from './clean-up.js'

const letters = fc.constantFrom(
  ...[' ', ' ', ' ', "'", "'", 'n', 't', 's', 'm', 'v', 'e', 'r', '.', ',', '?', '!', 'x'],
)
const texts = fc.array(letters, { maxLength: 24 }).map((all) => all.join(''))

test('a text that is tidied as it settles is tidied as a whole', (t) => {
  fc.assert(
    fc.property(texts, (text) => {
      let held = ''
      let tidied = ''
      for (const letter of text) {
        held += letter
        const length = settledLength(held)
        tidied += cleanUp(held.slice(0, length))
        held = held.slice(length)
      }
      t.is(tidied + cleanUp(held), cleanUp(text), JSON.stringify(text))
    }),
    { numRuns: 5000 },
  )
})

test('text without an unfinished ending is given out at once', (t) => {
  for (const text of ['', 'word', 'two words', "it 's", 'end .', "do n't", 'a  b', ' ever'.repeat(9)]) {
    t.is(settledLength(text), text.length, text)
  }
  t.is(settledLength(`a${' '.repeat(1000)}`), 1)
  t.is(settledLength("a n '"), 1)
})
