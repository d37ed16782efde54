import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { Tokenizer } from './tokenizer.js'

/** What the Rust library makes of texts, by kinds/make_kinds.py through its Python package. */
interface Expected {
  /** Eight digits for each text: of its tokens and what they decode to. */
  whole: string
  samples: Record<number, { ids: number[]; text: string; cuts: string }>
}

const folder = process.env.TOKENIZER_KINDS ?? fileURLToPath(new URL('../../src/tokenizer/kinds', import.meta.url))
const read = (name: string) => JSON.parse(readFileSync(`${folder}/${name}.json`, 'utf8'))
const texts: string[] = read('texts')
const kinds: Record<string, Expected> = read('expected')

/** As `digest` in make_kinds.py. */
function digest(...values: unknown[]): string {
  return createHash('sha256').update(JSON.stringify(values)).digest('hex').slice(0, 8)
}

/** What decodes at each cut, from nothing to all tokens. */
function cutsOf(ids: readonly number[], text: (ids: readonly number[]) => string): string[] {
  return Array.from({ length: ids.length + 1 }, (_, end) => text(ids.slice(0, end)))
}

function streamed(tokenizer: Tokenizer, ids: readonly number[]): string {
  const stream = tokenizer.stream([])
  return ids.map((token) => stream.push(token)).join('') + stream.end()
}

for (const [kind, expected] of Object.entries(kinds)) {
  test(`texts are tokens and text again as the Rust library has them: ${kind}`, async (t) => {
    const files = { tokenizer: readFileSync(`${folder}/${kind}.json`, 'utf8'), config: {} }
    const tokenizer = await Tokenizer.from(files, kind)
    for (const [index, text] of texts.entries()) {
      const ids = await tokenizer.encode(text)
      const whole = tokenizer.decode(ids)
      const sample = expected.samples[index]
      if (sample) t.deepEqual({ ids, text: whole }, { ids: sample.ids, text: sample.text }, JSON.stringify(text))
      t.is(digest(ids, whole), expected.whole.slice(8 * index, 8 * index + 8), JSON.stringify(text))
      t.is(streamed(tokenizer, ids), whole, JSON.stringify(text))
      if (!sample) continue
      const cuts = cutsOf(ids, (some) => tokenizer.decode(some))
      t.is(digest(cuts), sample.cuts, JSON.stringify(text))
      t.deepEqual(
        cutsOf(ids, (some) => streamed(tokenizer, some)),
        cuts,
        JSON.stringify(text),
      )
    }
  })
}
