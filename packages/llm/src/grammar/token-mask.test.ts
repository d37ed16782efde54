import { readFileSync } from 'node:fs'
import { InvalidInputError } from '@troupe/core'
import { Ajv2020 } from 'ajv/dist/2020.js'
import test from 'ava'
import type { Structure } from '../api/params.js'
import type { JsonSchema } from '../chat/messages.js'
import { allowedTokens, byteVocabulary, randomNumbers, TestMatcher } from '../testing/masks.js'
import { Tokenizer } from '../tokenizer/tokenizer.js'
import type { MaskVocabulary } from './mask-vocabulary.js'
import { grammarOf, tokenMask } from './token-mask.js'

const bytes = byteVocabulary()
const tokensOf = (text: string) => Array.from(Buffer.from(text))

async function vocabularyOf(kind: string): Promise<{ tokenizer: Tokenizer; vocabulary: MaskVocabulary }> {
  const folder = new URL('../../src/tokenizer/kinds/', import.meta.url)
  const tokenizer = await Tokenizer.from(
    { tokenizer: readFileSync(new URL(`${kind}.json`, folder), 'utf8'), config: {} },
    kind,
  )
  const size = tokenizer.vocabularySize + 5
  return { tokenizer, vocabulary: { size, endTokens: [size - 1], tokenBytes: (token) => tokenizer.tokenBytes(token) } }
}

type Random = () => number
interface Drawn {
  schema: JsonSchema
  make(): unknown
}

/** A schema, and values that are valid under it. */
function drawn(random: Random, depth: number): Drawn {
  const below = (limit: number) => Math.floor(random() * limit)
  const text = () => Array.from({ length: below(6) }, () => Array.from('ab"\\\né€😀 x')[below(9)]).join('')
  const leaves: (() => Drawn)[] = [
    () => ({ schema: { type: 'boolean' }, make: () => random() < 0.5 }),
    () => ({ schema: { type: 'null' }, make: () => null }),
    () => ({ schema: { type: 'string' }, make: text }),
    () => ({ schema: { type: 'number' }, make: () => (random() - 0.5) * 10 ** below(30) }),
    () => ({ schema: {}, make: () => [text(), { a: 1 }] }),
    () => {
      const [min, max] = [below(2000) - 1000, below(2000)].sort((a, b) => a - b) as [number, number]
      return { schema: { type: 'integer', minimum: min, maximum: max }, make: () => min + below(max - min + 1) }
    },
    () => {
      const min = below(300) - 150
      const max = min + 1 + below(100)
      const bounds = [
        { minimum: min, maximum: max },
        { exclusiveMinimum: min, exclusiveMaximum: max },
        { minimum: min },
        { exclusiveMaximum: max },
      ]
      return { schema: { type: 'number', ...bounds[below(4)] }, make: () => min + 0.5 }
    },
    () => ({ schema: { type: 'string', minLength: 1, maxLength: 4 }, make: () => `${text()}€`.slice(-2) }),
    () => ({ schema: { type: 'string', pattern: '^[a-c]+-\\d{1,3}$' }, make: () => `abc-${below(100)}` }),
    () => ({ schema: { type: 'string', format: 'date' }, make: () => '2024-12-31' }),
    () => ({
      schema: { enum: [1, 'two', { three: [3] }, null] },
      make: () => [1, 'two', { three: [3] }, null][below(4)],
    }),
    () => ({ schema: { type: ['string', 'null'] }, make: () => (random() < 0.5 ? null : text()) }),
  ]
  if (depth === 0 || random() < 0.3) return leaves[below(leaves.length)]!()
  const kind = below(4)
  if (kind === 0) {
    const item = drawn(random, depth - 1)
    const [min, max] = [below(3), 3 + below(3)]
    return {
      schema: { type: 'array', items: item.schema, minItems: min, maxItems: max },
      make: () => Array.from({ length: min + below(max - min + 1) }, item.make),
    }
  }
  if (kind === 1) {
    const choices = [drawn(random, depth - 1), drawn(random, depth - 1)]
    return { schema: { anyOf: choices.map(({ schema }) => schema) }, make: () => choices[below(2)]!.make() }
  }
  if (kind === 2) {
    const heads = [drawn(random, depth - 1), drawn(random, depth - 1)]
    return {
      schema: { type: 'array', prefixItems: heads.map(({ schema }) => schema), items: false, minItems: 1, maxItems: 2 },
      make: () => heads.slice(0, 1 + below(2)).map(({ make }) => make()),
    }
  }
  const names = ['a', 'ab', 'name', 'é"', 'x y'].filter(() => random() < 0.6)
  const members = names.map((name) => ({ name, ...drawn(random, depth - 1), isRequired: random() < 0.5 }))
  const properties = Object.fromEntries(members.map(({ name, schema }) => [name, schema]))
  const required = members.filter(({ isRequired }) => isRequired).map(({ name }) => name)
  const isOpen = random() < 0.3
  return {
    schema: { type: 'object', properties, required, additionalProperties: isOpen ? { type: 'integer' } : false },
    make: () => ({
      ...Object.fromEntries(
        members.filter(({ isRequired }) => isRequired || random() < 0.5).map(({ name, make }) => [name, make()]),
      ),
      ...(isOpen && random() < 0.5 ? { abc: 1, other: 2 } : {}),
    }),
  }
}

test('texts of random schemas are valid, and valid texts are allowed', async (t) => {
  const [byteLevel, sentencePiece] = await Promise.all([vocabularyOf('llama-3'), vocabularyOf('llama-2')])
  const vocabularies = [bytes, byteLevel.vocabulary, sentencePiece.vocabulary]
  const ajv = new Ajv2020({ strict: false, validateFormats: false })
  const matcher = new TestMatcher()
  let ended = 0
  for (let seed = 0; seed < 100; seed++) {
    const random = randomNumbers(seed)
    const { schema, make } = drawn(random, 3)
    const grammar = grammarOf({ type: 'json_schema', schema })
    const isValid = ajv.compile(schema)
    const { isEnded, text } = await matcher.walk(grammar, vocabularies[seed % 3]!, random, 60)
    if (isEnded) {
      ended++
      t.true(isValid(JSON.parse(text)), `${JSON.stringify(schema)} allows ${text}`)
    }
    const value = make()
    t.true(isValid(value), `${JSON.stringify(schema)} has ${JSON.stringify(value)}`)
    for (const example of [JSON.stringify(value), JSON.stringify(value, undefined, 2)]) {
      const tokens = tokensOf(example)
      t.deepEqual(
        await matcher.accepted(grammar, bytes, tokens),
        { count: tokens.length, mayEnd: true },
        `${JSON.stringify(schema)}: ${example}`,
      )
    }
  }
  t.true(ended > 60, `${ended} walks ended`)
})

const PIECES = [
  'a',
  '[b-d]',
  '\\d',
  '[^a-z]',
  '.',
  'é',
  '[À-Ö€-₿]',
  '\\w',
  '(x|yz)',
  '(?:ab?)',
  '\\p{Lu}',
  '\\.',
  '[\\s"]',
  '\\u{1F600}',
]

test('texts of random regular expressions match them', async (t) => {
  const matcher = new TestMatcher()
  let ended = 0
  for (let seed = 0; seed < 50; seed++) {
    const random = randomNumbers(1000 + seed)
    const piece = () =>
      PIECES[Math.floor(random() * PIECES.length)]! + ['', '', '*', '+', '?', '{1,3}'][Math.floor(random() * 6)]!
    const branch = () => Array.from({ length: 1 + Math.floor(random() * 4) }, piece).join('')
    const pattern = random() < 0.5 ? branch() : `${branch()}|^${branch()}$`
    const { isEnded, text } = await matcher.walk(grammarOf({ type: 'regex', pattern }), bytes, random, 20)
    if (!isEnded) continue
    ended++
    t.regex(text, new RegExp(`^(?:${pattern})$`, 'u'))
  }
  t.true(ended > 40, `${ended} walks ended`)
})

test('texts that regular expressions and grammars describe are allowed, and others are not', async (t) => {
  const matcher = new TestMatcher()
  const regex = (pattern: string): Structure => ({ type: 'regex', pattern })
  const arithmetic: Structure = {
    type: 'grammar',
    ebnf: '# sums\nroot ::= term ("+" term)*\nterm ::= [0-9]+ | "(" root ")"',
  }
  const cases: [Structure, string, boolean][] = [
    [regex('\\d{4}-\\d\\d'), '2024-12', true],
    [regex('\\d{4}-\\d\\d'), '2024-1', false],
    [regex('^(€|¥)[^\\d]$'), '€é', true],
    [regex('[^\\n"]*'), 'Ж😀', true],
    [arithmetic, '1+(22+3)', true],
    [arithmetic, '1+(22', false],
    [{ type: 'grammar', ebnf: 'root ::= [à-ü]+ "é\\n" [^a-z\\x00]' }, 'äöé\n漢', true],
    [{ type: 'json' }, '{"a":[1,-2.5e+3,"\\u00e9",true,{}]}', true],
    [{ type: 'json' }, '{"a":1', false],
    [{ type: 'json_schema', schema: { type: 'object', properties: { a: { type: 'string' } } } }, '{"a":1}', false],
    [
      {
        type: 'json_schema',
        schema: {
          $ref: '#/$defs/node',
          $defs: {
            node: { type: 'object', properties: { next: { $ref: '#/$defs/node' } }, additionalProperties: false },
          },
        },
      },
      '{"next":{"next":{}}}',
      true,
    ],
  ]
  for (const [structure, text, isWhole] of cases) {
    t.is(
      (await matcher.accepted(grammarOf(structure), bytes, tokensOf(text))).mayEnd,
      isWhole,
      `${JSON.stringify(structure)}: ${text}`,
    )
  }
})

for (const kind of ['llama-3', 'llama-2', 'gemma', 'qwen-2', 'mistral-v1', 't5']) {
  test(`the bytes of tokens, put together, are the text of the ${kind} kind`, async (t) => {
    const { tokenizer } = await vocabularyOf(kind)
    const start = await tokenizer.encode('x')
    for (const text of ['Hello, world!', 'naïve façade', 'the word { "a": 1 }']) {
      const tokens = await tokenizer.encode(text)
      const said = Buffer.concat(tokens.flatMap((token) => tokenizer.tokenBytes(token) ?? [])).toString()
      const decoded = tokenizer.decode([...start, ...tokens]).slice(tokenizer.decode(start).length)
      t.is(said.trimStart(), decoded.trimStart())
    }
  })
}

test('what is no structure, or more than can be held to, is refused in one line that says where', async (t) => {
  const schema = (schema: JsonSchema): Structure => ({ type: 'json_schema', schema })
  const cases: [Structure, RegExp][] = [
    [
      schema({ type: 'object', properties: { a: { type: 'strin' } } }),
      /at \/properties\/a\/type must be one of .* found "strin"/,
    ],
    [schema({ type: 'array', items: { not: {} } }), /at \/items has "not"/],
    [schema({ anyOf: [{ type: 'array', uniqueItems: true }] }), /at \/anyOf\/0 has "uniqueItems"/],
    [schema({ $ref: '#/$defs/none' }), /at \/\$ref points to "#\/\$defs\/none", which is not there/],
    [schema({ $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/a' } } }), /refers to itself/],
    [schema({ type: 'string', pattern: '(?=a)' }), /at \/pattern is wrong: .* an assertion at character 0/],
    [
      schema({ oneOf: [{ type: 'integer' }, { type: 'number' }] }),
      /at \/oneOf has schemas that the same value may fit/,
    ],
    [schema({ type: 'integer', minimum: 3, maximum: 2 }), /bounds between which there is no number/],
    [{ type: 'regex', pattern: 'a(b' }, /\/a\(b\/ is no regular expression: .* at character/],
    [{ type: 'regex', pattern: '(a)\\1' }, /has a back-reference at character 3/],
    [{ type: 'grammar', ebnf: 'root ::= "a" (' }, /no grammar: at line 1, column 15/],
    [{ type: 'grammar', ebnf: 'root ::= other' }, /no grammar: .*"other" is not defined/],
    [{ type: 'grammar', ebnf: `root ::= ${'('.repeat(100_000)}` }, /too much memory/],
  ]
  for (const [structure, message] of cases) {
    const error = await t.throwsAsync(
      tokenMask(structure, bytes),
      { instanceOf: InvalidInputError, message },
      JSON.stringify(structure).slice(0, 100),
    )
    t.false(error!.message.includes('\n'))
  }
  let deep: JsonSchema = {}
  for (let depth = 0; depth < 5000; depth++) deep = { type: 'array', items: deep }
  await t.throwsAsync(tokenMask({ type: 'json_schema', schema: deep }, bytes), {
    instanceOf: InvalidInputError,
    message: /is more than 100 schemas deep/,
  })
})

test('a mask goes through a text, allows its end when it is whole, and is one of many of its grammar', async (t) => {
  const structure: Structure = {
    type: 'json_schema',
    schema: { type: 'object', properties: { a: { type: 'boolean' } }, required: ['a'], additionalProperties: false },
  }
  const masks = await Promise.all([tokenMask(structure, bytes), tokenMask(structure, bytes)])
  const [end] = bytes.endTokens
  for (const mask of masks) {
    for (const token of tokensOf('{"a":true}')) {
      const allowed = allowedTokens(mask.next()!, bytes.size)
      t.true(allowed.includes(token))
      t.false(allowed.includes(end!))
      mask.accept(token)
      t.false(mask.isEnded)
    }
    t.true(allowedTokens(mask.next()!, bytes.size).includes(end!))
  }
  masks[0]!.accept(end!)
  t.true(masks[0]!.isEnded)
  masks[1]!.accept('x'.charCodeAt(0))
  t.throws(() => masks[1]!.next(), { instanceOf: InvalidInputError, message: /accept only tokens of the mask/ })
  for (const mask of masks) mask.dispose()
})
