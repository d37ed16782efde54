import test from 'ava'
import { byteLetters, tokenizerJson } from '../testing/tokenizer.js'
import { Tokenizer } from '../tokenizer/tokenizer.js'
import { AnswerText } from './answer-text.js'

const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: true }
const emoji = Buffer.from('🎭')
const pieces = [
  Buffer.from('Hi'),
  emoji.subarray(0, 2),
  emoji.subarray(2),
  Buffer.from(' st'),
  Buffer.from('op'),
  Buffer.from('!'),
]
const vocab = Object.fromEntries(pieces.map((piece, id) => [byteLetters(piece), id]))
const tokenizer = await Tokenizer.from(
  { tokenizer: tokenizerJson({ pre_tokenizer: bytes, decoder: bytes }, { vocab, merges: [] }), config: {} },
  'tokenizer.json',
)

test('tokens come with the text that they complete', (t) => {
  const text = new AnswerText(tokenizer, [], [], [])
  t.deepEqual(text.push({ token: 0 }), { text: 'Hi', tokens: [0] })
  t.is(text.push({ token: 1 }), undefined)
  t.deepEqual(text.push({ token: 2 }), { text: '🎭', tokens: [1, 2] })
  t.is(text.push({ token: 1 }), undefined)
  t.deepEqual(text.end(), { text: '\uFFFD', tokens: [1] })
})

test('a stop text across tokens ends the answer, without its tokens', (t) => {
  const text = new AnswerText(tokenizer, [], ['stop'], [])
  t.truthy(text.push({ token: 0 }))
  t.deepEqual(text.push({ token: 3 }), { text: ' ', tokens: [3] })
  t.is(text.push({ token: 4 }), undefined)
  t.true(text.isStopped)
  t.deepEqual(text.end(), { text: '', tokens: [] })

  const begins = new AnswerText(tokenizer, [], ['stopped'], [])
  begins.push({ token: 3 })
  t.is(begins.push({ token: 4 }), undefined)
  t.deepEqual(begins.push({ token: 5 }), { text: 'stop!', tokens: [4, 5] })
})

test('log-probabilities come with the bytes of their tokens', (t) => {
  const text = new AnswerText(tokenizer, [], [], [])
  text.push({ token: 1, logProb: -1, top: [{ token: 0, logProb: -0.5 }] })
  const piece = text.push({ token: 2, logProb: -2, top: [] })
  t.deepEqual(piece?.logProbs, [
    {
      ...{ token: 1, text: '\uFFFD', bytes: [...emoji.subarray(0, 2)], logProb: -1 },
      top: [{ token: 0, text: 'Hi', bytes: [72, 105], logProb: -0.5 }],
    },
    { token: 2, text: piece!.logProbs![1]!.text, bytes: [...emoji.subarray(2)], logProb: -2, top: [] },
  ])
})
