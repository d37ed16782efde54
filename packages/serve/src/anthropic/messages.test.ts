import Anthropic from '@anthropic-ai/sdk'
import test from 'ava'
import { gate, served } from '../testing/served.js'

const messages = [{ role: 'user' as const, content: 'good morning' }]
const weather = { name: 'weather', input_schema: { type: 'object' as const, properties: { city: { type: 'string' } } } }

function client(url: string): Anthropic {
  return new Anthropic({ baseURL: url, apiKey: 'any', maxRetries: 0 })
}

test('a message is answered as the official client of Anthropic expects it', async (t) => {
  const { server, model, idle } = await served(t)
  const anthropic = client(server.url)
  model.answer = () => ({ reasoning: 'a greeting', content: 'Good morning to you' })
  const asked = { model: 'scripted', max_tokens: 100, messages }
  const answer = await anthropic.messages.create({
    ...asked,
    system: [{ type: 'text', text: 'be kind' }],
    thinking: { type: 'enabled', budget_tokens: 1024 },
    ...{ temperature: 0.5, top_k: 3, top_p: 0.9, stop_sequences: ['X'] },
  })
  t.is(answer.type, 'message')
  t.is(answer.role, 'assistant')
  t.like(answer.content[0], { type: 'thinking', thinking: 'a greeting' })
  t.like(answer.content[1], { type: 'text', text: 'Good morning to you' })
  t.is(answer.stop_reason, 'end_turn')
  t.like(answer.usage, { input_tokens: 'system: be kind\nuser: good morning\n'.length, output_tokens: 29 })
  const { signal: _, ...params } = model.chats[0]!.params
  t.deepEqual(params, {
    ...{ maxTokens: 100, temperature: 0.5, topK: 3, topP: 0.9, stop: ['X'] },
    templateVariables: { enable_thinking: true },
  })
  t.is((await anthropic.messages.create({ ...asked, max_tokens: 2 })).stop_reason, 'max_tokens')
  const stopped = await anthropic.messages.create({ ...asked, stop_sequences: ['to'] })
  t.like(stopped, { stop_reason: 'stop_sequence', stop_sequence: 'to' })
  const { input_tokens } = await anthropic.messages.countTokens({ model: 'scripted', messages })
  t.is(input_tokens, 'user: good morning\n'.length)
  await idle()
})

test('a stream has the events of each block in their order', async (t) => {
  const { server, model, idle } = await served(t)
  const anthropic = client(server.url)
  const call = { id: 'toolu_1', name: 'weather', arguments: '{"city":"Ulm"}' }
  model.answer = () => ({ reasoning: 'hm', toolCalls: [call, { ...call, id: 'toolu_2' }] })
  const stream = anthropic.messages.stream({ model: 'scripted', max_tokens: 100, messages, tools: [weather] })
  const types: string[] = []
  for await (const event of stream) types.push(event.type)
  const block = ['content_block_start', 'content_block_delta', 'content_block_delta', 'content_block_stop']
  t.deepEqual(types, [
    'message_start',
    ...['content_block_start', 'content_block_delta', 'content_block_stop'],
    ...[...block, ...block],
    ...['message_delta', 'message_stop'],
  ])
  const final = await stream.finalMessage()
  t.is(final.stop_reason, 'tool_use')
  t.like(final.content[0], { type: 'thinking', thinking: 'hm' })
  t.like(final.content[1], { type: 'tool_use', id: 'toolu_1', name: 'weather', input: { city: 'Ulm' } })
  t.like(final.content[2], { id: 'toolu_2', input: { city: 'Ulm' } })
  t.true(final.usage.output_tokens > 0)
  await idle()
})

test('tools, their choice and their results reach the model', async (t) => {
  const { server, model, idle } = await served(t)
  const anthropic = client(server.url)
  const asked = { model: 'scripted', max_tokens: 100, tools: [weather] }
  await anthropic.messages.create({
    ...asked,
    tool_choice: { type: 'tool', name: 'weather', disable_parallel_tool_use: true },
    messages: [
      ...messages,
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: 'hm', signature: '' },
          { type: 'text', text: 'I look' },
          { type: 'tool_use', id: 'toolu_1', name: 'weather', input: { city: 'Ulm' } },
        ],
      },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 'toolu_1', content: [{ type: 'text', text: 'sun' }] },
          { type: 'text', text: 'and now?' },
        ],
      },
    ],
  })
  const { messages: given, params } = model.chats[0]!
  t.deepEqual(given.slice(1), [
    {
      role: 'assistant',
      content: 'I look',
      reasoning: 'hm',
      toolCalls: [{ id: 'toolu_1', name: 'weather', arguments: '{"city":"Ulm"}' }],
    },
    { role: 'tool', toolCallId: 'toolu_1', content: [{ type: 'text', text: 'sun' }] },
    { role: 'user', content: [{ type: 'text', text: 'and now?' }] },
  ])
  t.like(params, { toolChoice: { name: 'weather' }, parallelToolCalls: false })
  t.deepEqual(params.tools, [{ name: 'weather', parameters: weather.input_schema }])

  await anthropic.messages.create({ ...asked, messages, tool_choice: { type: 'any' } })
  t.is(model.chats[1]!.params.toolChoice, 'required')
  await anthropic.messages.create({ ...asked, messages: [...messages, { role: 'assistant', content: 'Good' }] })
  t.true(model.chats[2]!.params.continueLast)
  await idle()
})

test('errors have the shape of Anthropic, before a stream and in it', async (t) => {
  const { server, model, idle } = await served(t)
  const anthropic = client(server.url)
  const asked = { model: 'scripted', max_tokens: 10, messages }
  const unknown = await t.throwsAsync(anthropic.messages.create({ ...asked, model: 'other' }), {
    instanceOf: Anthropic.NotFoundError,
  })
  t.like(unknown, { error: { type: 'error', error: { type: 'not_found_error' } } })
  const wrong = await t.throwsAsync(anthropic.messages.create({ ...asked, max_tokens: -1 }), {
    instanceOf: Anthropic.BadRequestError,
  })
  t.like(wrong, { error: { error: { type: 'invalid_request_error' } } })
  const missing = await fetch(`${server.url}/v1/messages/nothing`, { method: 'POST' })
  t.is(missing.status, 404)
  t.like(await missing.json(), { type: 'error', error: { type: 'not_found_error' } })

  model.pause = (piece) => (piece === 2 ? Promise.reject(new Error('broken')) : undefined)
  const stream = await anthropic.messages.create({ ...asked, stream: true })
  const types: string[] = []
  const late = await t.throwsAsync(
    async () => {
      for await (const { type } of stream) types.push(type)
    },
    { instanceOf: Anthropic.APIError },
  )
  t.regex(String(late), /the server failed to answer/)
  t.deepEqual(types.slice(0, 3), ['message_start', 'content_block_start', 'content_block_delta'])
  await idle()
})

test('a client of Anthropic that leaves its stream ends the generation', async (t) => {
  const { server, model, idle } = await served(t)
  model.pause = (piece) => (piece === 2 ? gate().opened : undefined)
  const asked = { model: 'scripted', max_tokens: 10, messages, stream: true as const }
  for await (const { type } of await client(server.url).messages.create(asked)) {
    if (type === 'content_block_delta') break
  }
  await idle()
  t.is(model.aborted, 1)
})
