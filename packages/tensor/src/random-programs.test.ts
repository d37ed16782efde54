import test from 'ava'
import { tryProgram } from './testing/try-program.js'

/** How many programs; nightly many more, under AddressSanitizer. */
const PROGRAMS = Number(process.env.TROUPE_FUZZ ?? 300)

test('random programs give what a plain reference gives, or an error', async (t) => {
  const counts = { computed: 0, refused: 0 }
  for (let seed = 1; seed <= PROGRAMS; seed++) counts[await tryProgram(t, seed)]++
  t.log(counts)
  t.true(counts.computed > PROGRAMS / 10 && counts.refused > PROGRAMS / 10)
})
