import test from 'ava'
import OpenAI from 'openai'
import { served } from '../testing/served.js'

function client(url: string): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 0 })
}

const call = { id: 'call_1', name: 'weather', arguments: '{"city":"Ulm"}' }
const weather = { type: 'function' as const, name: 'weather', parameters: { type: 'object' }, strict: true }

test('a response has items for thoughts, text and calls, and says what it cost', async (t) => {
  const { server, model, idle } = await served(t)
  const openai = client(server.url)
  model.answer = () => ({ reasoning: 'hm hm', content: 'Good morning', toolCalls: [call] })
  const response = await openai.responses.create({
    ...{ model: 'scripted', input: 'hello', instructions: 'be kind', tools: [weather], tool_choice: 'required' },
    ...{ max_output_tokens: 100, temperature: 0.5, top_p: 0.9, reasoning: { effort: 'low' }, metadata: { a: 'b' } },
    text: { format: { type: 'json_schema', name: 's', schema: { type: 'object' } } },
  })
  t.is(response.object, 'response')
  t.is(response.status, 'completed')
  t.is(response.output_text, 'Good morning')
  t.deepEqual(
    response.output.map(({ type }) => type),
    ['reasoning', 'function_call', 'message'],
  )
  t.like(response.output[0], { content: [{ type: 'reasoning_text', text: 'hm hm' }], summary: [] })
  t.like(response.output[1], { call_id: 'call_1', name: 'weather', arguments: '{"city":"Ulm"}', status: 'completed' })
  t.like(response.usage, {
    input_tokens: 'system: be kind\nuser: hello\n'.length,
    output_tokens_details: { reasoning_tokens: 5 },
  })
  const { signal: _, ...params } = model.chats[0]!.params
  t.deepEqual(params, {
    ...{ maxTokens: 100, temperature: 0.5, topP: 0.9, toolChoice: 'required' },
    tools: [{ name: 'weather', parameters: { type: 'object' }, strict: true }],
    structure: { type: 'json_schema', schema: { type: 'object' } },
    templateVariables: { reasoning_effort: 'low' },
  })
  model.answer = () => ({ content: 'Good morning' })
  const cut = await openai.responses.create({ model: 'scripted', input: 'hello', max_output_tokens: 1 })
  t.like(cut, { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } })
  await idle()
})

test('a stream of a response numbers its events, in the order of the API', async (t) => {
  const { server, model, idle } = await served(t)
  model.answer = () => ({ reasoning: 'hm', content: 'Good morning', toolCalls: [call] })
  const stream = await client(server.url).responses.create({ model: 'scripted', input: 'hello', stream: true })
  const types: string[] = []
  const numbers: number[] = []
  let last: OpenAI.Responses.ResponseStreamEvent | undefined
  for await (const event of stream) {
    last = event
    types.push(event.type.replace('response.', ''))
    numbers.push(event.sequence_number)
  }
  t.deepEqual(types, [
    ...['created', 'in_progress'],
    ...['output_item.added', 'content_part.added', 'reasoning_text.delta', 'reasoning_text.done'],
    ...['content_part.done', 'output_item.done'],
    ...['output_item.added', 'function_call_arguments.delta', 'function_call_arguments.delta'],
    ...['function_call_arguments.done', 'output_item.done'],
    ...['output_item.added', 'content_part.added', 'output_text.delta', 'output_text.delta', 'output_text.done'],
    ...['content_part.done', 'output_item.done', 'completed'],
  ])
  t.deepEqual(numbers, [...numbers.keys()])
  t.true(last?.type === 'response.completed' && last.response.output.length === 3)

  const streamed = client(server.url).responses.stream({ model: 'scripted', input: 'hello' })
  t.is((await streamed.finalResponse()).output_text, 'Good morning')
  await idle()
})

test('a response is gone on from, fetched and forgotten', async (t) => {
  const { server, model, idle } = await served(t)
  const openai = client(server.url)
  const first = await openai.responses.create({ model: 'scripted', input: 'one', instructions: 'only here' })
  let second: OpenAI.Responses.Response | undefined
  const asked = { model: 'scripted', input: 'two', previous_response_id: first.id, stream: true as const }
  for await (const event of await openai.responses.create(asked)) {
    if (event.type === 'response.completed') second = event.response
  }
  await openai.responses.create({ model: 'scripted', input: 'three', previous_response_id: second!.id })
  t.deepEqual(model.chats[2]!.messages, [
    { role: 'user', content: 'one' },
    { role: 'assistant', content: 'You said: one' },
    { role: 'user', content: 'two' },
    { role: 'assistant', content: 'You said: two' },
    { role: 'user', content: 'three' },
  ])
  t.is((await openai.responses.retrieve(first.id)).output_text, 'You said: one')
  await openai.responses.delete(first.id)
  await t.throwsAsync(openai.responses.retrieve(first.id), { instanceOf: OpenAI.NotFoundError })
  const unstored = await openai.responses.create({ model: 'scripted', input: 'one', store: false })
  const lost = await t.throwsAsync(
    openai.responses.create({ model: 'scripted', input: 'two', previous_response_id: unstored.id }),
    { instanceOf: OpenAI.BadRequestError },
  )
  t.like(lost, { code: 'previous_response_not_found', param: 'previous_response_id' })
  await idle()
})

test('items of an earlier response become one message of the assistant', async (t) => {
  const { server, model, idle } = await served(t)
  model.answer = () => ({ reasoning: 'hm', toolCalls: [call] })
  const openai = client(server.url)
  const input: OpenAI.Responses.ResponseInput = [{ role: 'user', content: [{ type: 'input_text', text: 'hello' }] }]
  const response = await openai.responses.create({ model: 'scripted', input, tools: [weather] })
  input.push(...(response.output as OpenAI.Responses.ResponseInputItem[]), {
    type: 'function_call_output',
    call_id: 'call_1',
    output: 'sun',
  })
  await openai.responses.create({ model: 'scripted', input })
  t.deepEqual(model.chats[1]!.messages, [
    { role: 'user', content: 'hello' },
    { role: 'assistant', content: null, reasoning: 'hm', toolCalls: [call] },
    { role: 'tool', toolCallId: 'call_1', content: 'sun' },
  ])
  await idle()
})

test('an error in the stream of a response is an event', async (t) => {
  const { server, model, idle } = await served(t)
  model.pause = (piece) => (piece === 1 ? Promise.reject(new Error('broken')) : undefined)
  const stream = await client(server.url).responses.create({ model: 'scripted', input: 'hello', stream: true })
  const types: string[] = []
  await t.throwsAsync(
    async () => {
      for await (const { type } of stream) types.push(type)
    },
    { instanceOf: OpenAI.APIError },
  )
  t.is(types[0], 'response.created')
  await idle()
})
