import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { InvalidInputError } from '@troupe/core'
import test from 'ava'
import fc from 'fast-check'
import { Tokenizer } from './tokenizer.js'

/** How many damaged files the test opens of each kind; TROUPE_FUZZ sets it for long runs. */
const runs = Number(process.env.TROUPE_FUZZ ?? 40)
const kinds = ['llama-2', 'llama-3', 't5', 'bert-uncased', 'clip', 'split-behaviors']
const folder = fileURLToPath(new URL('../../src/tokenizer/kinds', import.meta.url))

const values = fc.oneof(
  fc.constantFrom<unknown>(null, true, -1, 0, 0.5, 2 ** 32, 1e300, '', '▁', '\ud800', '(', '(a*)*b', '</s>', [], {}),
  fc.jsonValue({ maxDepth: 1 }),
)
const text = 'Hello  wörld 123 <s>a</s>\n\u0000🦊'

/** Puts another value in place of one that a walk down the fields comes to. */
function damage(value: unknown, path: readonly number[], to: unknown): unknown {
  if (typeof value !== 'object' || value === null || path.length === 0) return to
  const keys = Object.keys(value)
  const key = keys[path[0]! % keys.length]
  if (key === undefined) return to
  const changed = damage((value as Record<string, unknown>)[key], path.slice(1), to)
  if (Array.isArray(value)) return value.with(Number(key), changed)
  return changed === undefined
    ? Object.fromEntries(Object.entries(value).filter(([name]) => name !== key))
    : { ...value, [key]: changed }
}

async function use(json: string): Promise<void> {
  try {
    const tokenizer = await Tokenizer.from({ tokenizer: json, config: {} }, 'tokenizer.json')
    const ids = await tokenizer.encode(text)
    const stream = tokenizer.stream([])
    const streamed = ids.map((token) => stream.push(token)).join('') + stream.end()
    if (streamed !== tokenizer.decode(ids)) throw new Error('streamed differently')
  } catch (error) {
    if (!(error instanceof InvalidInputError) || error.message.includes('\n')) throw error
  }
}

for (const kind of kinds) {
  const json = readFileSync(`${folder}/${kind}.json`, 'utf8')
  test(`a damaged tokenizer.json works or is refused in one line: ${kind}`, async (t) => {
    const path = fc.array(fc.nat(400), { minLength: 1, maxLength: 7 })
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(path, fc.option(values, { nil: undefined })), { minLength: 1, maxLength: 3 }),
        (changes) =>
          use(JSON.stringify(changes.reduce((all, [path, to]) => damage(all, path, to) as object, JSON.parse(json)))),
      ),
      { numRuns: runs },
    )
    await fc.assert(
      fc.asyncProperty(fc.nat(json.length), fc.nat(9), fc.string({ maxLength: 3 }), (at, removed, put) =>
        use(json.slice(0, at) + put + json.slice(at + removed)),
      ),
      { numRuns: runs },
    )
    t.pass()
  })
}
