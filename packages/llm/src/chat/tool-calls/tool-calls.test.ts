import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import { piecesOf } from '../../testing/pieces.js'
import { AnswerParser } from '../answer.js'
import type { Tool } from '../messages.js'
import { forcedCalls, type ToolCallFormat, toolCallFormatOf, toolCallParser } from './formats.js'

const tools: Tool[] = [
  { name: 'add', parameters: { type: 'object', properties: { a: { type: 'number' } } } },
  { name: 'now' },
]

/** What a parser makes of an answer's pieces, with ids by number. */
function read(format: ToolCallFormat, pieces: readonly string[]) {
  let made = 0
  const parser = new AnswerParser(
    undefined,
    toolCallParser(format, tools, () => `id${made++}`),
  )
  const deltas = [...pieces.map((piece) => parser.push(piece)), parser.end()]
  return { message: parser.message, deltas }
}

const calls = (...expected: [name: string, text: string, id?: string][]) =>
  expected.map(([name, text, id], index) => ({ id: id ?? `id${index}`, name, arguments: text }))

interface Case {
  format: ToolCallFormat
  text: string
  content: string | null
  calls?: ReturnType<typeof calls>
}

const nested = '{"a": {"b": "}{\\" </tool_call> [x]"}, "c": [1, {"d": null}]}'

const cases: Case[] = [
  { format: 'hermes', text: 'Just text, 1 < 2 <tool.', content: 'Just text, 1 < 2 <tool.' },
  {
    format: 'hermes',
    text: 'Let me see.\n<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>',
    content: 'Let me see.',
    calls: calls(['add', '{"a": 1}']),
  },
  {
    format: 'hermes',
    text: `<tool_call>{"name":"add","arguments":${nested}}</tool_call>\n<tool_call>\n{"arguments": {}, "name": "now"}\n</tool_call>\n`,
    content: null,
    calls: calls(['add', nested], ['now', '{}']),
  },
  {
    format: 'hermes',
    text: '<tool_call>{"name": "now"}</tool_call> then <tool_call>{"name": "add", "arguments": "{\\"a\\": 2}"}',
    content: ' then',
    calls: calls(['now', '{}'], ['add', '{"a": 2}']),
  },
  {
    format: 'hermes',
    text: '<tool_call>{"name": "add", "arguments": {"a": 12',
    content: null,
    calls: calls(['add', '{"a": 12']),
  },
  { format: 'hermes', text: ' <tool_call>no JSON</tool_call>', content: ' <tool_call>no JSON</tool_call>' },
  {
    format: 'hermes',
    text: '<tool_call>{"name": 3}<tool_call>{"name": "now"}',
    content: '<tool_call>{"name": 3}',
    calls: calls(['now', '{}']),
  },
  {
    format: 'hermes',
    text: '<tool_call>{"name": "now", "arguments": [1]}</tool_call>',
    content: '<tool_call>{"name": "now", "arguments": [1]}</tool_call>',
  },
  { format: 'hermes', text: '<tool_call>{"name": "a', content: '<tool_call>{"name": "a' },
  {
    format: 'llama',
    text: ' {"name": "add", "parameters": {"a": 1}}; {"name": "now", "parameters": {}} ',
    content: null,
    calls: calls(['add', '{"a": 1}'], ['now', '{}']),
  },
  {
    format: 'llama',
    text: '<|python_tag|>{"type": "function", "name": "now", "parameters": null}',
    content: null,
    calls: calls(['now', '{}']),
  },
  {
    format: 'llama',
    text: 'Yes.<|python_tag|>{"name": "now", "arguments": {}}; done',
    content: 'Yes.; done',
    calls: calls(['now', '{}']),
  },
  { format: 'llama', text: '<|python_tag|>search.call("x")', content: '<|python_tag|>search.call("x")' },
  { format: 'llama', text: '{"name": "Ada", "parameters": {}}', content: '{"name": "Ada", "parameters": {}}' },
  { format: 'llama', text: '{"name": "now", "age": 36}', content: '{"name": "now", "age": 36}' },
  {
    format: 'llama',
    text: 'As JSON: {"name": "now", "parameters": {}}',
    content: 'As JSON: {"name": "now", "parameters": {}}',
  },
  {
    format: 'mistral',
    text: '[TOOL_CALLS] [{"name": "add", "arguments": {"a": 1}, "id": "x"}, {"id": "abcdefghi", "name": "now", "arguments": {}}]',
    content: null,
    calls: calls(['add', '{"a": 1}'], ['now', '{}', 'abcdefghi']),
  },
  {
    format: 'mistral',
    text: `Well [TOOL_CALLS]add[ARGS]${nested}[TOOL_CALLS]now[CALL_ID]123456789[ARGS]{}`,
    content: 'Well',
    calls: calls(['add', nested], ['now', '{}', '123456789']),
  },
  { format: 'mistral', text: '[TOOL_CALLS]add{"a": 1}', content: null, calls: calls(['add', '{"a": 1}']) },
  { format: 'mistral', text: '[TOOL_CALLS]add [ARGS]', content: '[TOOL_CALLS]add [ARGS]' },
  { format: 'mistral', text: '[TOOL_CALLS][1]', content: '[TOOL_CALLS][1]' },
  {
    format: 'mistral',
    text: '[TOOL_CALLS][{"name": "now"}, oh',
    content: ', oh',
    calls: calls(['now', '{}']),
  },
]

function check(t: ExecutionContext, { format, text, content, calls = [] }: Case, pieces: readonly string[]): void {
  const { message } = read(format, pieces)
  const name = `${format}: ${JSON.stringify(pieces)}`
  t.is(message.content, content, name)
  t.deepEqual(message.toolCalls ?? [], calls, name)
  t.is(pieces.join(''), text)
}

test('calls of tools are told from content in the formats of the families, and what is no call is content', (t) => {
  for (const one of cases) check(t, one, [one.text])
})

test('an answer is read alike however it is cut into pieces', (t) => {
  for (const one of cases) {
    check(t, one, Array.from(one.text))
    fc.assert(
      fc.property(piecesOf(one.text), (pieces) => check(t, one, pieces)),
      { numRuns: 20 },
    )
  }
})

test('no text is lost where nothing is a call, and any text is read alike in any pieces', (t) => {
  const parts = [
    '<tool_call>',
    '</tool_call>',
    '<|python_tag|>',
    '[TOOL_CALLS]',
    '[ARGS]',
    '[CALL_ID]',
    '{"name": "now"',
  ]
  const more = [
    ', "arguments": ',
    '{}',
    '}',
    '{',
    '[',
    ']',
    '"',
    ',',
    ';',
    ' ',
    '\n',
    '\\',
    'now',
    'null',
    '🎭',
    '<',
    '1',
  ]
  const texts = fc.array(fc.constantFrom(...parts, ...more), { maxLength: 14 }).map((some) => some.join(''))
  for (const format of ['hermes', 'llama', 'mistral'] as const) {
    fc.assert(
      fc.property(
        texts.chain((text) => fc.tuple(fc.constant(text), piecesOf(text))),
        ([text, pieces]) => {
          const { message } = read(format, [text])
          t.deepEqual(read(format, pieces).message, message)
          if (!message.toolCalls) t.is(message.content, text)
        },
      ),
      { numRuns: 300 },
    )
  }
})

test('arguments come as they are written, behind the name', (t) => {
  const text = '<tool_call>{"name": "add", "arguments": {"text": "a long story"}}</tool_call>'
  const { deltas } = read('hermes', Array.from(text))
  const given = deltas.flatMap(({ toolCalls = [] }) => toolCalls)
  t.deepEqual(given[0], { index: 0, id: 'id0', name: 'add', arguments: '{' })
  t.true(given.length > 20)
  t.true(given.slice(1).every(({ index, id, name }) => index === 0 && id === undefined && name === undefined))
})

test('the format of calls is the one that the template shows', (t) => {
  t.is(toolCallFormatOf('{{ "<tool_call>" }}'), 'hermes')
  t.is(toolCallFormatOf('{{ "[TOOL_CALLS]" }}'), 'mistral')
  t.is(toolCallFormatOf(`{{ '"parameters": ' }}`), 'llama')
  t.is(toolCallFormatOf('{{ messages }}'), undefined)
})

test('ids that are made up are of nine letters and digits, each its own', (t) => {
  const parser = toolCallParser('mistral', tools)
  const { toolCalls } = parser.push('[TOOL_CALLS][{"name":"now"},{"name":"now"}]')
  for (const { id } of toolCalls) t.regex(id!, /^[a-zA-Z0-9]{9}$/)
  t.not(toolCalls[0]!.id, toolCalls[1]!.id)
})

test('what the structure for forced calls allows is read as a call', (t) => {
  const written = { hermes: '{"name": "add", "arguments": {"a": 1}}', llama: '{"name": "add", "parameters": {"a": 1}}' }
  for (const [format, text] of Object.entries({ ...written, mistral: `[${written.hermes}]` })) {
    const forced = forcedCalls(format as ToolCallFormat, tools.slice(0, 1), false)
    const { message } = read(format as ToolCallFormat, [forced.begin, text])
    t.deepEqual(message.toolCalls, calls(['add', '{"a": 1}']), format)
  }
  const call = (name: string, parameters: unknown) => ({
    type: 'object',
    properties: { name: { const: name }, arguments: parameters },
    required: ['name', 'arguments'],
    additionalProperties: false,
  })
  t.deepEqual(forcedCalls('mistral', tools, false), {
    begin: '[TOOL_CALLS]',
    schema: {
      type: 'array',
      items: { anyOf: [call('add', tools[0]!.parameters), call('now', { type: 'object' })] },
      minItems: 1,
      maxItems: 1,
    },
  })
})
