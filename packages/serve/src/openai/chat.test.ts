import test from 'ava'
import OpenAI from 'openai'
import { gate, served } from '../testing/served.js'

const messages = [{ role: 'user' as const, content: 'good morning' }]
const weather = {
  type: 'function' as const,
  function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } },
}

function client(url: string): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 0 })
}

test('a chat is answered as the official client of OpenAI expects it', async (t) => {
  const { server, model, idle } = await served(t)
  const openai = client(server.url)
  const answer = await openai.chat.completions.create({ model: 'scripted', messages })
  t.is(answer.object, 'chat.completion')
  t.is(answer.model, 'scripted')
  t.regex(answer.id, /^chatcmpl-/)
  t.is(answer.choices[0]!.message.content, 'You said: good morning')
  t.is(answer.choices[0]!.finish_reason, 'stop')
  t.deepEqual(answer.usage, {
    prompt_tokens: 'user: good morning\n'.length,
    completion_tokens: 22,
    total_tokens: 41,
    prompt_tokens_details: { cached_tokens: 0 },
  })

  const cut = await openai.chat.completions.create({ model: 'scripted', messages, max_completion_tokens: 2, n: 2 })
  t.deepEqual(
    cut.choices.map(({ index, message, finish_reason }) => [index, message.content, finish_reason]),
    [
      [0, 'You said:', 'length'],
      [1, 'You said:', 'length'],
    ],
  )
  t.like(model.chats.at(-1)!.params, { maxTokens: 2, n: 2 })
  await idle()
})

test('a stream gives the role, the text in pieces, why it ended, and the usage if that was asked for', async (t) => {
  const { server, idle } = await served(t)
  const openai = client(server.url)
  const stream = await openai.chat.completions.create({
    model: 'scripted',
    messages,
    stream: true,
    n: 2,
    stream_options: { include_usage: true },
  })
  const texts = ['', '']
  const reasons: unknown[] = []
  const roles: unknown[] = []
  let usage: unknown
  let count = 0
  for await (const chunk of stream) {
    t.is(chunk.object, 'chat.completion.chunk')
    count++
    usage = chunk.usage
    for (const { index, delta, finish_reason } of chunk.choices) {
      texts[index] += delta.content ?? ''
      if (delta.role) roles.push(delta.role)
      if (finish_reason) reasons.push(finish_reason)
    }
  }
  t.deepEqual(texts, ['You said: good morning', 'You said: good morning'])
  t.deepEqual(roles, ['assistant', 'assistant'])
  t.deepEqual(reasons, ['stop', 'stop'])
  t.is(count, 2 * 6 + 1)
  t.like(usage, { prompt_tokens: 19, completion_tokens: 44 })
  await idle()
})

test('each piece arrives when it is there, and not with the next', async (t) => {
  const { server, model, idle } = await served(t)
  const gates = Array.from({ length: 8 }, gate)
  model.pause = (piece) => gates[piece]?.opened
  gates[0]!.open()
  const stream = await client(server.url).chat.completions.create({ model: 'scripted', messages, stream: true })
  const said: string[] = []
  for await (const { choices } of stream) {
    const text = choices[0]!.delta.content
    if (!text) continue
    said.push(text)
    gates[said.length]!.open()
    if (said.length === 4) gates[5]!.open()
  }
  t.deepEqual(said, ['You', ' said:', ' good', ' morning'])
  await idle()
})

test('while the first token is computed, a stream has comments', async (t) => {
  const { post, model, idle } = await served(t, { heartbeatSeconds: 0.02 })
  const first = gate()
  model.pause = (piece) => (piece === 0 ? first.opened : undefined)
  const response = await post('/v1/chat/completions', { model: 'scripted', messages, stream: true })
  t.is(response.status, 200)
  t.is(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  t.regex((await reader.read()).value!, /^: keep-alive\n\n/)
  t.regex((await reader.read()).value!, /^: keep-alive\n\n/)
  first.open()
  let text = ''
  for (let part = await reader.read(); !part.done; part = await reader.read()) text += part.value
  t.regex(text, /data: \{.*"content":"You".*\}\n\n/)
  t.true(text.endsWith('data: [DONE]\n\n'))
  await idle()
})

test('tools are called, alone and as a stream, and their answers go back', async (t) => {
  const { server, model, idle } = await served(t)
  const openai = client(server.url)
  const call = { id: 'call_1', name: 'weather', arguments: '{"city":"Ulm"}' }
  model.answer = ({ messages: given }) => {
    return given.at(-1)!.role === 'tool' ? { content: 'sunny' } : { reasoning: 'a tool knows', toolCalls: [call] }
  }
  const asked = { model: 'scripted', messages, tools: [weather], tool_choice: 'required' as const }
  const { choices } = await openai.chat.completions.create({ ...asked, parallel_tool_calls: false })
  const { message, finish_reason } = choices[0]!
  t.is(finish_reason, 'tool_calls')
  t.is(message.content, null)
  t.is((message as unknown as { reasoning_content: string }).reasoning_content, 'a tool knows')
  t.deepEqual(message.tool_calls, [
    { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Ulm"}' } },
  ])
  t.like(model.chats[0]!.params, {
    tools: [{ name: 'weather', parameters: weather.function.parameters }],
    toolChoice: 'required',
    parallelToolCalls: false,
  })

  const streamed = openai.chat.completions.stream(asked)
  const final = await streamed.finalChatCompletion()
  t.is(final.choices[0]!.message.tool_calls![0]!.type, 'function')
  t.like(final.choices[0]!.message.tool_calls![0], {
    id: 'call_1',
    function: { name: 'weather', arguments: '{"city":"Ulm"}' },
  })

  const answered = await openai.chat.completions.create({
    ...asked,
    tool_choice: { type: 'function', function: { name: 'weather' } },
    messages: [...messages, message, { role: 'tool', tool_call_id: 'call_1', content: 'sun' }],
  })
  t.is(answered.choices[0]!.message.content, 'sunny')
  t.deepEqual(model.chats.at(-1)!.messages, [
    { role: 'user', content: 'good morning' },
    { role: 'assistant', content: null, reasoning: 'a tool knows', toolCalls: [call] },
    { role: 'tool', content: 'sun', toolCallId: 'call_1' },
  ])
  t.deepEqual(model.chats.at(-1)!.params.toolChoice, { name: 'weather' })
  await idle()
})

test('log-probabilities have each token, its bytes and the likeliest in its place', async (t) => {
  const { server, idle } = await served(t)
  const openai = client(server.url)
  const asked = { model: 'scripted', messages, logprobs: true, top_logprobs: 3 }
  const { choices } = await openai.chat.completions.create(asked)
  const { content } = choices[0]!.logprobs!
  t.deepEqual(
    content!.map(({ token }) => token),
    ['You', ' said:', ' good', ' morning'],
  )
  t.deepEqual(content![0]!.bytes, [89, 111, 117])
  t.is(content![0]!.logprob, -0.5)
  t.is(content![0]!.top_logprobs.length, 3)
  let streamed = ''
  for await (const chunk of await openai.chat.completions.create({ ...asked, stream: true })) {
    streamed += chunk.choices[0]!.logprobs?.content?.map(({ token }) => token).join('') ?? ''
  }
  t.is(streamed, 'You said: good morning')
  await idle()
})

test('every parameter reaches the model under its own name', async (t) => {
  const { post, model, idle } = await served(t)
  const schema = { type: 'object' }
  const response = await post('/v1/chat/completions', {
    ...{
      model: 'scripted',
      messages,
      max_tokens: 5,
      min_tokens: 1,
      temperature: 0.5,
      top_p: 0.9,
      top_k: -1,
      min_p: 0.1,
    },
    ...{ repetition_penalty: 1.1, presence_penalty: 1, frequency_penalty: -1, logit_bias: { 65: 10 }, seed: 7, n: 1 },
    ...{ stop: ['x'], stop_token_ids: [3], ignore_eos: true, reasoning_effort: 'low', chat_template_kwargs: { a: 1 } },
    ...{
      response_format: { type: 'json_schema', json_schema: { name: 's', schema } },
      something_new: true,
      user: null,
    },
  })
  t.is(response.status, 200)
  const { signal, ...params } = model.chats[0]!.params
  t.true(signal instanceof AbortSignal)
  t.deepEqual(params, {
    ...{ maxTokens: 5, minTokens: 1, temperature: 0.5, topP: 0.9, topK: 0, minP: 0.1, repetitionPenalty: 1.1 },
    ...{ presencePenalty: 1, frequencyPenalty: -1, logitBias: { 65: 10 }, seed: 7, n: 1, stop: ['x'], stopTokens: [3] },
    ...{ ignoreEnd: true, structure: { type: 'json_schema', schema } },
    templateVariables: { reasoning_effort: 'low', a: 1 },
  })
  const structures = [
    [{ response_format: { type: 'json_object' } }, { type: 'json' }],
    [{ guided_regex: '[ab]+' }, { type: 'regex', pattern: '[ab]+' }],
    [{ structured_outputs: { choice: ['a.b', 'c'] } }, { type: 'regex', pattern: 'a\\.b|c' }],
    [{ guided_grammar: 'root ::= "a"' }, { type: 'grammar', ebnf: 'root ::= "a"' }],
    [{ guided_json: '{"type":"object"}' }, { type: 'json_schema', schema }],
    [{ response_format: { type: 'text' } }, undefined],
  ] as const
  for (const [fields, expected] of structures) {
    await post('/v1/chat/completions', { model: 'scripted', messages, ...fields })
    t.deepEqual(model.chats.at(-1)!.params.structure, expected)
  }
  await idle()
})

test('a client that leaves ends its generation, streamed or not', async (t) => {
  const { server, model, idle } = await served(t)
  const openai = client(server.url)
  model.pause = (piece) => (piece === 2 ? gate().opened : undefined)
  const stream = await openai.chat.completions.create({ model: 'scripted', messages, stream: true })
  for await (const { choices } of stream) if (choices[0]!.delta.content) break
  await idle()
  t.is(model.aborted, 1)

  const leaver = new AbortController()
  model.pause = () => {
    leaver.abort()
    return gate().opened
  }
  const asked = openai.chat.completions.create({ model: 'scripted', messages }, { signal: leaver.signal })
  await t.throwsAsync(asked, { instanceOf: OpenAI.APIUserAbortError })
  await idle()
  t.is(model.aborted, 2)
})

test('an error before the first token is a status, and a later one an event', async (t) => {
  const { server, model, errors, idle } = await served(t)
  const openai = client(server.url)
  const body = { model: 'scripted', messages, stream: true as const }
  const failure = new Error('/secret/path broke')
  model.pause = () => Promise.reject(failure)
  const early = await t.throwsAsync(openai.chat.completions.create(body), { instanceOf: OpenAI.InternalServerError })
  t.notRegex(String(early), /secret/)
  model.pause = (piece) => (piece === 2 ? Promise.reject(failure) : undefined)
  const stream = await openai.chat.completions.create(body)
  let text = ''
  const late = await t.throwsAsync(
    async () => {
      for await (const { choices } of stream) text += choices[0]!.delta.content ?? ''
    },
    { instanceOf: OpenAI.APIError },
  )
  t.is(text, 'You said:')
  t.notRegex(String(late), /secret/)
  t.deepEqual(errors, [failure, failure])
  await idle()
})
