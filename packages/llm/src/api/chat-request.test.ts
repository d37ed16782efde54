import { InvalidInputError } from '@troupe/core'
import test, { type ExecutionContext } from 'ava'
import type { ChatMessage } from '../chat/messages.js'
import { ChatPrompts } from '../chat/prompt.js'
import { ChatCollector } from './chat-collector.js'
import { ChatRequest } from './chat-request.js'
import type { ChatChunk } from './generation.js'
import type { ChatParams } from './params.js'

const template =
  '{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{{ "<tool_call>" if tools }}{% if add_generation_prompt %}it: {{ "<think>\n" if think }}{{ "</think>" if hide }}{% endif %}'
const prompts = new ChatPrompts({ templates: new Map([['default', template]]), specialTokens: new Map() }, 'm')
const messages: ChatMessage[] = [{ role: 'user', content: 'Hi' }]
const tools = [{ name: 'add' }, { name: 'now' }]
const ask = (params: ChatParams = {}, given: unknown = messages) =>
  new ChatRequest(prompts, given as ChatMessage[], params, 'm')

/** What the chunks of an answer add up to, checked against the whole answer. */
function answer(
  t: ExecutionContext,
  request: ChatRequest,
  pieces: readonly string[],
  reason: 'stop' | 'length' = 'stop',
) {
  const chunks: ChatChunk[] = []
  const collector = new ChatCollector(0, request.parser(), (chunk) => chunks.push(chunk))
  for (const [token, text] of pieces.entries()) collector.add({ text, tokens: [token] })
  collector.end({ text: '', tokens: [99] }, { finishReason: reason })
  const { message, finishReason } = collector.choice
  t.is(chunks.map(({ content = '' }) => content).join(''), message.content ?? '')
  t.is(chunks.map(({ reasoning = '' }) => reasoning).join(''), message.reasoning ?? '')
  t.deepEqual(
    chunks.flatMap(({ tokens }) => tokens),
    [...pieces.keys(), 99],
  )
  t.is(chunks.at(-1)?.finishReason, finishReason)
  return { message, finishReason, chunks }
}

test('an answer is told from thinking, also where the prompt has begun it', (t) => {
  const { message } = answer(t, ask(), ['<think>\nHm', '.\n</think>', '\n\nYes.'])
  t.like(message, { content: 'Yes.', reasoning: 'Hm.' })
  const inside = ask({ templateVariables: { think: true } })
  t.is(inside.text, 'user: Hi\nit: <think>\n')
  t.like(answer(t, inside, ['Hm.</think>Yes.']).message, { content: 'Yes.', reasoning: 'Hm.' })
  t.deepEqual(inside.shown, ['<think>', '</think>'])
})

test('calls of tools end an answer with tool_calls, and come with its chunks', (t) => {
  const request = ask({ tools })
  t.true(request.shown.includes('<tool_call>'))
  const call = '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'
  const { message, finishReason, chunks } = answer(t, request, ['So ', ...call])
  t.is(finishReason, 'tool_calls')
  t.is(message.content, 'So')
  t.like(message.toolCalls, { 0: { name: 'add', arguments: '{"a": 1}' }, length: 1 })
  t.true(chunks.filter(({ toolCalls }) => toolCalls).length > 3)
  t.is(answer(t, request, [call], 'length').finishReason, 'length')
  t.is(answer(t, ask({ tools, toolChoice: 'none' }), [call]).message.content, call)
  t.is(answer(t, ask(), [call]).message.content, call)
})

test('a tool that has to be called begins in the prompt, and the rest is held to its schema', (t) => {
  const request = ask({ tools, toolChoice: { name: 'now' }, templateVariables: { think: true } })
  t.is(request.text, 'user: Hi\n<tool_call>it: <think>\n\n</think>\n\n<tool_call>\n')
  t.like(request.structure, { type: 'json_schema', schema: { properties: { name: { const: 'now' } } } })
  const { message, finishReason } = answer(t, request, ['{"name": "now", ', '"arguments": {}}'])
  t.like(message.toolCalls, { 0: { name: 'now', arguments: '{}' }, length: 1 })
  t.is(finishReason, 'tool_calls')
  t.like(ask({ tools, toolChoice: 'required' }).structure, { schema: { anyOf: { length: 2 } } })
})

test('a chat that is none is refused by the part that is not as it should be', (t) => {
  const refused = (message: RegExp, params: object, given: unknown = messages) =>
    t.throws(() => ask(params as ChatParams, given), { instanceOf: InvalidInputError, message })
  refused(/^messages: /, {}, [])
  refused(/^messages: /, {}, 'Hi')
  refused(/^messages\[1\].role: /, {}, [messages[0], { role: 'robot', content: '' }])
  refused(/^messages\[0\].content: /, {}, [{ role: 'user', content: 3 }])
  refused(/^messages\[0\].*: /, {}, [{ role: 'user', content: [{ type: 'image', url: '' }] }])
  refused(/^tools\[0\].name: /, { tools: [{ name: 'with space' }] })
  refused(/^tools: two are named add/, { tools: [tools[0], tools[0]] })
  refused(/^toolChoice names sub, .* expected one of add, now/, { tools, toolChoice: { name: 'sub' } })
  refused(/^toolChoice is required, but there are no tools/, { toolChoice: 'required' })
  refused(/arguments of the call of add must be a JSON object/, {}, [
    { role: 'assistant', content: null, toolCalls: [{ id: '1', name: 'add', arguments: '[1' }] },
  ])
  const other = new ChatPrompts({ templates: new Map([['default', '{{ tools }}']]), specialTokens: new Map() }, 'm')
  t.throws(() => new ChatRequest(other, messages, { tools }, 'm'), { message: /load it with toolParser: 'hermes'/ })
  t.notThrows(() => new ChatRequest(other, messages, { tools }, 'm', 'mistral'))
})
