import test from 'ava'
import fc from 'fast-check'
import { piecesOf } from '../testing/pieces.js'
import { endsInReasoning, ReasoningSplitter, reasoningMarksOf } from './reasoning.js'

const marks = { begin: '<think>', end: '</think>' }

function split(pieces: readonly string[], isInside: boolean) {
  const splitter = new ReasoningSplitter(marks, isInside)
  const parts = [...pieces.map((piece) => splitter.push(piece)), splitter.end()]
  return {
    reasoning: parts.map(({ reasoning }) => reasoning).join(''),
    content: parts.map(({ content }) => content).join(''),
  }
}

const cases: [text: string, isInside: boolean, reasoning: string, content: string][] = [
  ['<think>\nHm.\n\nYes.\n</think>\n\nIt is.\n', false, 'Hm.\n\nYes.', 'It is.\n'],
  ['Hm. </think>It is </think>', true, 'Hm.', 'It is </think>'],
  ['\n <think>\n\n</think>\n\nIt is.', false, '', 'It is.'],
  ['It <think>is</think>', false, '', 'It <think>is</think>'],
  [' It is', false, '', ' It is'],
  ['<thi', false, '', '<thi'],
  ['Hm, 1 < 2 </thin', true, 'Hm, 1 < 2 </thin', ''],
  ['Hm\n', true, 'Hm', ''],
  ['<think>', false, '', ''],
  ['', false, '', ''],
]

test('what is thought is split from the answer, in any pieces', (t) => {
  for (const [text, isInside, reasoning, content] of cases) {
    t.deepEqual(split([text], isInside), { reasoning, content }, text)
    t.deepEqual(split(Array.from(text), isInside), { reasoning, content }, text)
    fc.assert(
      fc.property(piecesOf(text), (pieces) => t.deepEqual(split(pieces, isInside), { reasoning, content })),
      { numRuns: 30 },
    )
  }
})

test('thinking is looked for where the template knows its marks, and has begun where the prompt ends in one', (t) => {
  t.deepEqual(reasoningMarksOf('{{ "</think>" }}'), marks)
  t.is(reasoningMarksOf('{{ messages }}'), undefined)
  t.true(endsInReasoning('Assistant: <think>\n', marks))
  t.false(endsInReasoning('Assistant: <think>\n\n</think>\n\n', marks))
})
