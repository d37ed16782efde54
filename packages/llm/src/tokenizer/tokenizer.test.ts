import { InvalidInputError } from '@troupe/core'
import test from 'ava'
import { addedToken, byteLetters, tokenizerJson } from '../testing/tokenizer.js'
import { Tokenizer } from './tokenizer.js'
import type { TokenizerFiles } from './tokenizer-files.js'

const open = (tokenizer: string, more: Partial<TokenizerFiles> = {}) =>
  Tokenizer.from({ tokenizer, config: {}, ...more }, 'tokenizer.json')

function streamed(tokenizer: Tokenizer, tokens: readonly number[], prompt: readonly number[] = []): string[] {
  const stream = tokenizer.stream(prompt)
  return [...tokens.map((token) => stream.push(token)), stream.end()]
}

/** A byte-level tokenizer whose tokens are given as texts or bytes. */
function byteLevel(tokens: (string | Uint8Array)[], fields: Record<string, unknown> = {}): string {
  const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: true }
  const piece = (token: string | Uint8Array) => byteLetters(typeof token === 'string' ? Buffer.from(token) : token)
  const vocab = Object.fromEntries(tokens.map((token, id) => [piece(token), id]))
  return tokenizerJson({ pre_tokenizer: bytes, decoder: bytes, ...fields }, { vocab, merges: [], ignore_merges: true })
}

const words = (vocab: Record<string, number>, fields: Record<string, unknown> = {}) =>
  tokenizerJson(
    { pre_tokenizer: { type: 'WhitespaceSplit' }, ...fields },
    { type: 'WordLevel', vocab, unk_token: '?', merges: undefined },
  )

test('spaces of a BPE text stay as they are, whatever the files say of cleaning up', async (t) => {
  const tokens = ['the', ' word', " '", 'social', "' .", ' x', ' =', "  '", 'sum', "'", ' do', ' n', "'t", ' ok', ' ?']
  const ids = tokens.map((_, id) => id)
  for (const config of [{}, { clean_up_tokenization_spaces: true }, { clean_up_tokenization_spaces: false }]) {
    const tokenizer = await open(byteLevel(tokens), { config })
    t.is(tokenizer.decode(ids), "the word 'social' . x =  'sum' do n't ok ?")
    t.is(streamed(tokenizer, ids).join(''), tokenizer.decode(ids))
    t.is(streamed(tokenizer, ids.slice(2), ids.slice(0, 2)).join(''), tokenizer.decode(ids).slice(8))
  }
})

test('spaces of other kinds are tidied where the files ask for it, whole and streamed', async (t) => {
  const vocab = { it: 0, "'s": 1, do: 2, "n't": 3, ',': 4, "'": 5, ve: 6, '.': 7, '?': 8, n: 9, t: 10 }
  const texts = { "it 's , do n't ?": "it's, don't?", "it ' ve .": "it've.", "n ' t": "n't" }
  for (const [text, expected] of Object.entries(texts)) {
    const plain = await open(words(vocab))
    const ids = await plain.encode(text)
    t.is(plain.decode(ids), text)
    const tidied = await open(words(vocab), { config: { clean_up_tokenization_spaces: true } })
    t.is(tidied.decode(ids), expected)
    t.is(streamed(tidied, ids).join(''), expected)
  }
})

test('a whole character is streamed before one that is cut off, which ends as a mark', async (t) => {
  const cut = Buffer.concat([Buffer.from('的'), Buffer.of(0xe6)])
  const tokenizer = await open(byteLevel(['a', cut, Buffer.of(0x80, 0x9d), Buffer.of(0xff)]))
  t.deepEqual(streamed(tokenizer, [0, 1]), ['a', '的', '\uFFFD'])
  t.deepEqual(streamed(tokenizer, [0, 1, 2, 0]), ['a', '的', '思', 'a', ''])
  t.deepEqual(streamed(tokenizer, [2, 0], [0, 1]), ['思', 'a', ''])
  t.deepEqual(streamed(tokenizer, [3, 3, 0]), ['', '', '\uFFFD\uFFFDa', ''])
})

test('ids that the tokenizer does not have add no text', async (t) => {
  const tokenizer = await open(byteLevel(['a', ' b', ' c']))
  t.is(tokenizer.decode([0, 1, 50, 2, 4294967295, -1, 0.5]), 'a b c')
  t.is(streamed(tokenizer, [0, 1, 50, 2]).join(''), 'a b c')
  t.is(tokenizer.decode([]), '')
})

test('bytes that are a text only together are streamed when their run is over', async (t) => {
  const vocab = { a: 0, '<0xC3>': 1, '<0xA9>': 2, '</s>': 3 }
  const decoder = { type: 'Sequence', decoders: [{ type: 'ByteFallback' }, { type: 'Fuse' }] }
  const added_tokens = [addedToken(3, '</s>', { special: true })]
  const tokenizer = await open(tokenizerJson({ decoder, added_tokens }, { vocab, merges: [], byte_fallback: true }))
  for (const ids of [
    [0, 1, 2, 0],
    [1, 2, 1, 0],
    [1, 3, 2, 0],
    [1, 2],
    [2, 2, 1],
    [1, 2, 3, 1],
  ]) {
    t.is(streamed(tokenizer, ids).join(''), tokenizer.decode(ids))
  }
  t.is(tokenizer.decode([1, 3, 2]), 'é')
  t.is(tokenizer.decode([1, 2, 1]), '\uFFFD\uFFFD\uFFFD')
})

test('a decoder that may change what it gave before is streamed at the end', async (t) => {
  const decoder = {
    type: 'Sequence',
    decoders: [{ type: 'Fuse' }, { type: 'Replace', pattern: { String: 'ab' }, content: 'x' }],
  }
  const tokenizer = await open(tokenizerJson({ decoder }))
  t.is(tokenizer.decode([0, 1, 2]), 'xc')
  t.deepEqual(streamed(tokenizer, [0, 1, 2]), ['', '', '', 'xc'])
})

test('the end of a word is streamed as it reads as a whole, wherever its mark stands', async (t) => {
  for (const suffix of ['</w>', 'b', '']) {
    const decoder = { type: 'BPEDecoder', suffix }
    const vocab = { 'ab</w>': 0, 'a</w>b': 1, ab: 2, b: 3 }
    const tokenizer = await open(tokenizerJson({ decoder }, { vocab, merges: [] }))
    for (const ids of [[0, 1, 0], [1, 1, 2], [2, 3, 0], [3, 2, 1], [0]]) {
      t.is(streamed(tokenizer, ids).join(''), tokenizer.decode(ids), `${suffix} ${ids}`)
    }
  }
})

test('tokens that other files add are tokens of the text too', async (t) => {
  const im = addedToken(4, '<|im|>', { special: true })
  const ways: Partial<TokenizerFiles>[] = [
    { config: { added_tokens_decoder: { 4: im } } },
    { config: {}, addedTokens: { '<|im|>': 4 } },
    { config: { eos_token: '<|im|>' } },
    { config: { extra_special_tokens: ['<|im|>'] } },
    { config: { additional_special_tokens: [im] } },
  ]
  for (const way of ways) {
    const tokenizer = await open(tokenizerJson(), way)
    t.deepEqual(await tokenizer.encode('a<|im|>ab'), [0, 4, 3], JSON.stringify(way))
    t.is(tokenizer.decode([0, 4, 3]), way.addedTokens ? 'a <|im|> ab' : 'a ab')
  }
  const several = await open(tokenizerJson(), {
    addedTokens: { y: 5, x: 4 },
    config: { eos_token: 'ab', pad_token: 'y' },
  })
  t.deepEqual(await several.encode('yxab'), [5, 4, 3])
  t.is(several.decode([5, 4, 3, 0]), 'x a')
  await t.throwsAsync(open(tokenizerJson(), { addedTokens: { y: -1 } }), {
    message: /added_tokens\.json has the id -1/,
  })
  await t.throwsAsync(open(tokenizerJson(), { config: { added_tokens_decoder: { 4: {} } } }), {
    message: /has no text/,
  })
})

test('a tokenizer.json without fields that have a default works as with the default', async (t) => {
  for (const field of [
    'version',
    'truncation',
    'padding',
    'added_tokens',
    'normalizer',
    'pre_tokenizer',
    'post_processor',
    'decoder',
  ]) {
    const tokenizer = await open(tokenizerJson({ [field]: undefined }))
    t.deepEqual(await tokenizer.encode('abc'), [3, 2], field)
    t.is(tokenizer.decode([3, 2]), 'ab c', field)
  }
  for (const field of ['unk_token', 'type']) {
    t.deepEqual(await (await open(tokenizerJson({}, { [field]: undefined }))).encode('abc'), [3, 2], field)
  }
})

test('a prompt is neither cut off nor filled up', async (t) => {
  const truncation = { direction: 'Right', max_length: 1, strategy: 'LongestFirst', stride: 0 }
  const padding = {
    strategy: { Fixed: 9 },
    direction: 'Right',
    pad_to_multiple_of: null,
    pad_id: 0,
    pad_type_id: 0,
    pad_token: 'a',
  }
  const tokenizer = await open(tokenizerJson({ truncation, padding }))
  t.deepEqual(await tokenizer.encode('abcc'), [3, 2, 2])
})

const strip = { type: 'Strip', content: 'a', start: 1, stop: 1 }
const refused: Record<string, [json: string, says: RegExp]> = {
  'no JSON': ['{\n"a"\n', /is not JSON/],
  'a list': ['[]', /tokenizer\.json must be an object/],
  'no model': [tokenizerJson({ model: undefined }), /its model must be an object, found none/],
  'no vocabulary': [tokenizerJson({}, { vocab: undefined }), /its model has no vocab/],
  'no merges': [tokenizerJson({}, { merges: undefined }), /its model has no merges/],
  'a merge of no tokens': [tokenizerJson({}, { merges: [['b', 'c']] }), /`bc` out of vocabulary/],
  'added tokens without a text': [tokenizerJson({ added_tokens: [{ id: 1 }] }), /list of tokens with a content/],
  'another version': [tokenizerJson({ version: '9' }), /Unknown tokenizer version '9'/],
  'an unknown decoder': [tokenizerJson({ decoder: { type: 'Magic' } }), /its decoder of the kind Magic is not one/],
  'a decoder that takes from both ends': [tokenizerJson({ decoder: strip }), /Strip takes from both ends/],
  'a decoder with a pattern': [
    tokenizerJson({ decoder: { type: 'Replace', pattern: { Regex: '(a+)+$' }, content: '' } }),
    /Replace has a pattern other than a String/,
  ],
  'a damaged table of characters': [
    tokenizerJson({ normalizer: { type: 'Precompiled', precompiled_charsmap: 'AAAA' } }),
    /gave up: .*precompiled_charsmap/,
  ],
  'a prefix that is longer than a merge': [
    tokenizerJson({}, { continuing_subword_prefix: 'éééé' }),
    /gave up: .*out of range/,
  ],
  'an unknown step among others': [
    tokenizerJson({
      pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'WhitespaceSplit' }, { type: 'Magic' }] },
    }),
    /its pre_tokenizer of the kind Sequence, WhitespaceSplit, Magic is not one/,
  ],
  'a step that lacks a field': [
    tokenizerJson({ pre_tokenizer: { type: 'Digits' } }),
    /missing field `individual_digits`/,
  ],
  'an unknown model': [tokenizerJson({}, { type: 'Magic' }), /its model of the kind Magic is not one/],
}

for (const [name, [json, says]] of Object.entries(refused)) {
  test(`a tokenizer.json with ${name} is refused in one line`, async (t) => {
    const error = await t.throwsAsync(open(json), { instanceOf: InvalidInputError, message: says })
    t.true(error!.message.startsWith('tokenizer.json has no tokenizer that can be used: '))
    t.false(error!.message.includes('\n'))
  })
}

test('a text on which the library gives up fails alone', async (t) => {
  const pattern = { type: 'Split', pattern: { Regex: '(c+)+$' }, behavior: 'Isolated', invert: false }
  const fragile = await open(tokenizerJson({ pre_tokenizer: pattern }))
  const missing = { type: 'Sequence', processors: [] }
  const other = await open(tokenizerJson({ post_processor: missing }))
  const results = await Promise.allSettled([
    fragile.encode('abc'),
    fragile.encode(`${'c'.repeat(100_000)}b`),
    fragile.encode('ab'),
    other.encode('ab'),
  ])
  t.deepEqual(results[0], { status: 'fulfilled', value: [3, 2] })
  t.deepEqual(results[2], { status: 'fulfilled', value: [3] })
  t.deepEqual(results[3], { status: 'fulfilled', value: [3] })
  const failed = results[1] as PromiseRejectedResult
  t.true(failed.reason instanceof InvalidInputError)
  t.regex(failed.reason.message, /^tokenizer\.json cannot cut the text into tokens: .*retry-limit/)
})

test('a text for which there are no tokens is refused', async (t) => {
  const tokenizer = await open(tokenizerJson({}, { type: 'WordLevel', unk_token: 'none', merges: undefined }))
  await t.throwsAsync(tokenizer.encode('z'), { instanceOf: InvalidInputError, message: /cannot cut the text/ })
})
