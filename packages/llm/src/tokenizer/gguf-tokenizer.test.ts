import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { InvalidInputError } from '@troupe/core'
import test, { type ExecutionContext } from 'ava'
import { temporaryFolder } from '../testing/files.js'
import { gguf, type Typed } from '../testing/gguf.js'
import { mergesFromScores } from './sentencepiece.js'
import { Tokenizer } from './tokenizer.js'

const tales = fileURLToPath(new URL('../../../../models/tales', import.meta.url))

function open(t: ExecutionContext, metadata: Record<string, Typed>): Promise<Tokenizer | undefined> {
  const path = join(temporaryFolder(t), 'model.gguf')
  writeFileSync(path, gguf({ metadata }))
  return Tokenizer.open(path)
}

/** Metadata of a byte-level tokenizer. */
function byteLevel(tokens: string[], merges: string[], more: Record<string, Typed> = {}): Record<string, Typed> {
  return {
    'tokenizer.ggml.model': { string: 'gpt2' },
    'tokenizer.ggml.tokens': { strings: tokens },
    'tokenizer.ggml.token_type': { int32s: tokens.map((token) => (token.startsWith('<|') ? 3 : 1)) },
    'tokenizer.ggml.merges': { strings: merges },
    'tokenizer.ggml.pre': { string: 'gpt-2' },
    ...more,
  }
}

test('a byte-level tokenizer splits text as the one with the same vocabulary in a directory does', async (t) => {
  const { model } = JSON.parse(readFileSync(join(tales, 'tokenizer.json'), 'utf8'))
  const tokens = Object.keys(model.vocab).sort((a, b) => model.vocab[a] - model.vocab[b])
  const merges = model.merges.map((pair: [string, string]) => pair.join(' '))
  const from = (await open(
    t,
    byteLevel(tokens, merges, {
      'tokenizer.ggml.pre': { string: 'gpt-2' },
      'tokenizer.ggml.bos_token_id': { uint32: 0 },
      'tokenizer.ggml.add_bos_token': { bool: true },
      'tokenizer.chat_template': { string: '{{ messages }}' },
    }),
  ))!
  const directory = (await Tokenizer.open(tales))!
  for (const text of [readFileSync(join(tales, 'heldout.txt'), 'utf8').slice(0, 5000), 'Zoë  🦊\n\n\t123', '']) {
    t.deepEqual(await from.encode(text), await directory.encode(text))
    t.is(from.decode(await from.encode(text)), text)
  }
  t.is(from.chatTemplate, '{{ messages }}')
})

test('each pre-tokenizer keeps together as many digits as its models do', async (t) => {
  const tokens = ['1', '11', '111', '1111']
  const merges = ['1 1', '11 1', '11 11']
  for (const [pre, expected] of Object.entries({
    'gpt-2': [3],
    smollm: [0, 0, 0, 0],
    'llama-bpe': [2, 0],
    qwen2: [0, 0, 0, 0],
    tekken: [0, 0, 0, 0],
  })) {
    const tokenizer = (await open(t, byteLevel(tokens, merges, { 'tokenizer.ggml.pre': { string: pre } })))!
    t.deepEqual(await tokenizer.encode('1111'), expected, pre)
  }
})

test('a SentencePiece vocabulary merges what scores highest first, and falls back to bytes', async (t) => {
  const pieces = ['<unk>', '<s>', '</s>', '<0xC3>', '<0xAB>', '▁', 'a', 'b', 'ab', '▁a', '▁ab', 'bb']
  const scores = [0, 0, 0, 0, 0, -9, -9, -9, -3, -2, -4, -1]
  t.deepEqual(mergesFromScores(pieces, scores), [
    ['b', 'b'],
    ['▁', 'a'],
    ['a', 'b'],
    ['▁a', 'b'],
    ['▁', 'ab'],
  ])
  const tokenizer = (await open(t, {
    'tokenizer.ggml.model': { string: 'llama' },
    'tokenizer.ggml.tokens': { strings: pieces },
    'tokenizer.ggml.scores': { float32s: scores },
    'tokenizer.ggml.token_type': { int32s: [2, 3, 3, 6, 6, 1, 1, 1, 1, 1, 1, 1] },
    'tokenizer.ggml.bos_token_id': { uint32: 1 },
    'tokenizer.ggml.unknown_token_id': { uint32: 0 },
  }))!
  t.deepEqual(await tokenizer.encode('ab abbë'), [1, 10, 9, 11, 3, 4])
  t.is(tokenizer.decode([1, 10, 9, 11, 3, 4]), 'ab abbë')
})

test('tokens that say the same both decode, and a merge of no tokens merges nothing', async (t) => {
  const tokenizer = (await open(t, byteLevel(['a', 'Ġb', 'c', 'Ġb', 'd'], ['a c'])))!
  t.is(tokenizer.decode([0, 1, 3, 4]), 'a b bd')
  t.deepEqual(await tokenizer.encode('ac'), [0, 2])
})

test('a SentencePiece vocabulary without an unknown token decodes what it knows', async (t) => {
  const pieces = ['<unk>', '<s>', '▁', 'a', '▁a', '▁']
  const tokenizer = (await open(t, {
    'tokenizer.ggml.model': { string: 'llama' },
    'tokenizer.ggml.tokens': { strings: pieces },
    'tokenizer.ggml.scores': { float32s: [0, 0, -9, -9, -1, -9] },
    'tokenizer.ggml.token_type': { int32s: [2, 3, 1, 1, 1, 1] },
    'tokenizer.ggml.bos_token_id': { uint32: 1 },
  }))!
  t.deepEqual(await tokenizer.encode('a a'), [1, 4, 4])
  t.is(tokenizer.decode([1, 4, 5, 3, 20, 0, 4]), 'a a a')
})

test('a file without a tokenizer has none', async (t) => {
  t.is(await open(t, {}), undefined)
  t.is(await open(t, { 'tokenizer.ggml.model': { string: 'none' } }), undefined)
})

const refused: Record<string, [metadata: Record<string, Typed>, says: RegExp]> = {
  'an unknown kind': [{ 'tokenizer.ggml.model': { string: 'bert' } }, /of the kind bert; supported: llama, gpt2/],
  'an unknown pre-tokenizer': [
    byteLevel(['a', 'aa'], ['a a'], { 'tokenizer.ggml.pre': { string: 'viking' } }),
    /pre-tokenizer viking is not supported; supported: gpt-2/,
  ],
  'no word on how its text is cut': [
    {
      'tokenizer.ggml.model': { string: 'gpt2' },
      'tokenizer.ggml.tokens': { strings: ['a'] },
      'tokenizer.ggml.token_type': { int32s: [1] },
      'tokenizer.ggml.merges': { strings: ['a a'] },
    },
    /tokenizer\.ggml\.pre is missing, so it is not known how its text is cut/,
  ],
  'no vocabulary': [{ 'tokenizer.ggml.model': { string: 'gpt2' } }, /tokenizer\.ggml\.tokens must be a list of texts/],
  'kinds for other tokens': [
    byteLevel(['a', 'aa'], ['a a'], { 'tokenizer.ggml.token_type': { int32s: [1] } }),
    /token_type must be a list of 2 numbers/,
  ],
  'a beginning outside of its vocabulary': [
    byteLevel(['a', 'aa'], ['a a'], {
      'tokenizer.ggml.add_bos_token': { bool: true },
      'tokenizer.ggml.bos_token_id': { uint32: 9 },
    }),
    /bos_token_id is 9, which is not in the vocabulary of 2/,
  ],
}

for (const [name, [metadata, says]] of Object.entries(refused)) {
  test(`a tokenizer with ${name} is refused`, async (t) => {
    await t.throwsAsync(async () => open(t, metadata), { instanceOf: InvalidInputError, message: says })
  })
}
