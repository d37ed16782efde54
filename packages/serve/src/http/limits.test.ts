import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import test from 'ava'
import { gate, served } from '../testing/served.js'

const chat = { model: 'scripted', messages: [{ role: 'user', content: 'good morning' }] }

interface Told {
  error: { type: string; message: string; code?: string | null; param?: string | null }
}

test('what a body has wrong is told with its field, in the shape of the API', async (t) => {
  const { post, errors, idle } = await served(t, { maxBodyBytes: 100_000 })
  const deep = (levels: number) => `{"model":"scripted","messages":${'['.repeat(levels)}${']'.repeat(levels)}}`
  const wrong: [path: string, body: unknown, status: number, code: string | null, param: string | null][] = [
    ['/v1/chat/completions', '{"model": "scripted"', 400, 'invalid_json', null],
    ['/v1/chat/completions', '', 400, 'invalid_json', null],
    ['/v1/chat/completions', '{"__proto__": {"a": 1}}', 400, 'invalid_json', null],
    ['/v1/chat/completions', '[]', 400, 'invalid_value', null],
    ['/v1/chat/completions', 'null', 400, 'invalid_value', null],
    ['/v1/chat/completions', deep(5000), 400, 'invalid_value', null],
    ['/v1/chat/completions', { ...chat, messages: [] }, 400, 'invalid_value', 'messages'],
    ['/v1/chat/completions', { ...chat, messages: [{ role: 'user' }] }, 400, 'invalid_value', 'messages[0].content'],
    ['/v1/chat/completions', { ...chat, messages: [{ role: 'king' }] }, 400, 'invalid_value', 'messages[0].role'],
    ['/v1/chat/completions', { ...chat, temperature: 'hot' }, 400, 'invalid_value', 'temperature'],
    ['/v1/chat/completions', '{"model":"scripted","messages":[],"seed":1e400}', 400, 'invalid_value', 'messages'],
    ['/v1/chat/completions', { ...chat, n: 1e15 }, 400, 'invalid_value', 'n'],
    ['/v1/chat/completions', { ...chat, top_logprobs: 3 }, 400, 'invalid_value', 'top_logprobs'],
    ['/v1/chat/completions', { ...chat, logit_bias: { a: 1 } }, 400, 'invalid_value', 'logit_bias.a'],
    ['/v1/chat/completions', { ...chat, tool_choice: 'required' }, 400, 'invalid_value', 'tool_choice'],
    ['/v1/chat/completions', { ...chat, guided_regex: 'a', guided_json: '{}' }, 400, 'invalid_value', null],
    ['/v1/chat/completions', { ...chat, guided_json: '{' }, 400, 'invalid_value', null],
    ['/v1/chat/completions', { ...chat, guided_json: { type: 'banana' } }, 400, 'invalid_value', null],
    ['/v1/chat/completions', { ...chat, temperature: 1e300 }, 400, 'invalid_value', null],
    ['/v1/chat/completions', { ...chat, model: 'other' }, 404, 'model_not_found', 'model'],
    ['/v1/chat/completions', { ...chat, user: 'x'.repeat(100_000) }, 413, 'request_too_large', null],
    ['/v1/completions', { model: 'scripted', prompt: 'a', suffix: 'b' }, 400, 'invalid_value', 'suffix'],
    ['/v1/completions', { model: 'scripted', prompt: 'x'.repeat(3000) }, 400, 'context_length_exceeded', null],
    ['/v1/responses', { model: 'scripted', input: 7 }, 400, 'invalid_value', 'input'],
    ['/v1/nothing', {}, 404, 'not_found', null],
  ]
  for (const [path, body, status, code, param] of wrong) {
    const response = await post(path, body)
    const told = (await response.json()) as Told
    const shown = `${path} ${JSON.stringify(body).slice(0, 100)}: ${JSON.stringify(told)}`
    t.is(response.status, status, shown)
    t.is(told.error.code, code, shown)
    t.is(told.error.param, param, shown)
    t.is(told.error.type, 'invalid_request_error', shown)
    t.true(told.error.message.length > 10 && !told.error.message.includes('\n'), shown)
  }
  const image = { role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:' } }] }
  const told = (await (await post('/v1/chat/completions', { ...chat, messages: [image] })).json()) as Told
  t.regex(told.error.message, /only texts can be read/)
  t.is((await post('/v1/chat/completions', 'a=b', { headers: { 'content-type': 'text/plain' } })).status, 415)
  t.deepEqual(errors, [])
  await idle()
})

test('halves of characters become U+FFFD', async (t) => {
  const { post, model } = await served(t)
  const response = await post(
    '/v1/chat/completions',
    '{"model":"scripted","messages":[{"role":"user","content":"a\\ud800b\\ud83d\\ude00"}]}',
  )
  t.is(response.status, 200)
  t.is(model.chats[0]!.messages[0]!.content, 'a\uFFFDb\u{1F600}')
})

test('without one of the keys nothing is answered but whether the server is there', async (t) => {
  const { server, post } = await served(t, { apiKeys: ['first key', 'second'] })
  const status = async (headers: Record<string, string>) =>
    (await post('/v1/chat/completions', chat, { headers })).status
  t.is(await status({ authorization: 'Bearer second' }), 200)
  t.is(await status({ authorization: 'bearer first key' }), 200)
  t.is(await status({ 'x-api-key': 'second' }), 200)
  t.is(await status({ authorization: 'Bearer secon' }), 401)
  t.is(await status({ authorization: 'second' }), 401)
  t.is(await status({}), 401)
  t.like(await (await post('/v1/chat/completions', chat)).json(), { error: { code: 'invalid_api_key' } })
  t.like(await (await post('/v1/messages', chat)).json(), { type: 'error', error: { type: 'authentication_error' } })
  for (const path of ['/v1/models', '/metrics', '/nothing']) t.is((await fetch(server.url + path)).status, 401, path)
  for (const path of ['/health', '/openapi.json', '/docs']) t.is((await fetch(server.url + path)).status, 200, path)
})

test('past the most requests at once, status 429 says when to come again', async (t) => {
  const { post, model, server, idle } = await served(t, { maxQueue: 2 })
  const held = gate()
  model.pause = () => held.opened
  const first = post('/v1/chat/completions', chat)
  const second = post('/v1/chat/completions', { ...chat, stream: true })
  for (let round = 0; round < 1000 && model.active < 2; round++) await new Promise((resolve) => setTimeout(resolve, 5))
  const third = await post('/v1/messages', { ...chat, max_tokens: 5 })
  t.is(third.status, 429)
  t.is(third.headers.get('retry-after'), '1')
  t.like(await third.json(), { type: 'error', error: { type: 'rate_limit_error' } })
  t.is((await fetch(`${server.url}/health`)).status, 200)
  held.open()
  t.is((await first).status, 200)
  t.regex(await (await second).text(), /\[DONE\]\n\n$/)
  await idle()
  t.is((await post('/v1/chat/completions', chat)).status, 200)
})

test('a server that is closed lets what is under way end, and refuses what is new', async (t) => {
  const { post, model, server } = await served(t)
  const held = gate()
  model.pause = () => held.opened
  const early = post('/v1/chat/completions', chat)
  for (let round = 0; round < 1000 && model.active < 1; round++) await new Promise((resolve) => setTimeout(resolve, 5))
  const closed = server.close()
  const late = await post('/v1/chat/completions', chat)
  t.is(late.status, 503)
  t.true(late.headers.has('retry-after'))
  t.is((await fetch(`${server.url}/health`)).status, 503)
  held.open()
  t.is((await early).status, 200)
  await closed
  await t.throwsAsync(post('/v1/chat/completions', chat))
})

test('what does not end within the bound of closing is aborted, and told so', async (t) => {
  const { post, model, server } = await served(t, { drainSeconds: 0.05 })
  model.pause = (piece) => (piece === 1 ? gate().opened : undefined)
  const whole = post('/v1/chat/completions', chat)
  const stream = await post('/v1/chat/completions', { ...chat, stream: true })
  for (let round = 0; round < 1000 && model.active < 2; round++) await new Promise((resolve) => setTimeout(resolve, 5))
  await server.close()
  t.is((await whole).status, 503)
  t.regex(await stream.text(), /"content":"You".*the server has ended before the answer was complete/s)
  t.is(model.active, 0)
})

test('a client that does not read its stream is taken for gone, and its generation ends', async (t) => {
  const { model, server, idle } = await served(t, { stallSeconds: 0.3 })
  model.answer = () => ({ content: `${'x'.repeat(40_000)} `.repeat(400) })
  model.pause = (piece) => (piece === 399 ? gate().opened : undefined)
  const socket = connectTcp(server.port, '127.0.0.1')
  await once(socket, 'connect')
  const body = JSON.stringify({ ...chat, stream: true })
  socket.pause()
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  )
  for (let round = 0; round < 1000 && server.requests < 1; round++)
    await new Promise((resolve) => setTimeout(resolve, 5))
  t.is(server.requests, 1)
  await idle()
  t.is(model.aborted, 1)
  socket.destroy()
})

test('pages of other origins may call the server only if they are named', async (t) => {
  const { post } = await served(t)
  const headers = { origin: 'https://example.org' }
  t.is((await post('/v1/chat/completions', chat, { headers })).headers.get('access-control-allow-origin'), null)
  const { post: open } = await served(t, { corsOrigins: ['https://example.org'], apiKeys: ['key'] })
  const withKey = { ...headers, authorization: 'Bearer key' }
  for (const stream of [false, true]) {
    const response = await open('/v1/chat/completions', { ...chat, stream }, { headers: withKey })
    t.is(response.status, 200)
    t.is(response.headers.get('access-control-allow-origin'), 'https://example.org')
    await response.text()
  }
  const preflight = await open('/v1/chat/completions', undefined, {
    method: 'OPTIONS',
    headers: { ...headers, 'access-control-request-method': 'POST' },
  })
  t.is(preflight.status, 204)
})

test('every route is described, and the page needs nothing from elsewhere', async (t) => {
  const { server } = await served(t)
  const described = (await (await fetch(`${server.url}/openapi.json`)).json()) as { paths: Record<string, object> }
  t.deepEqual(Object.keys(described.paths).toSorted(), [
    ...['/detokenize', '/health', '/metrics', '/tokenize', '/v1/chat/completions', '/v1/completions', '/v1/embeddings'],
    ...['/v1/messages', '/v1/messages/count_tokens', '/v1/models', '/v1/models/{*}', '/v1/responses'],
    '/v1/responses/{id}',
  ])
  t.regex(JSON.stringify(described.paths['/v1/chat/completions']), /"presence_penalty"/)
  const page = await fetch(`${server.url}/docs`)
  t.regex(page.headers.get('content-type')!, /html/)
  const text = await page.text()
  t.deepEqual(text.match(/(?:src|href)="https?:[^"]*"/g), null)
  t.is((await fetch(`${server.url}/docs/static/swagger-ui-bundle.js`)).status, 200)
})

test('figures for Prometheus count requests, tokens and times', async (t) => {
  const { model, post, server, idle } = await served(t)
  await post('/v1/chat/completions', chat)
  await (await post('/v1/chat/completions', { ...chat, stream: true })).text()
  await post('/v1/chat/completions', { ...chat, model: 'other' })
  await idle()
  let text = await (await fetch(`${server.url}/metrics`)).text()
  const figure = (name: string, labels = '') => {
    const line = text.split('\n').find((other) => other.startsWith(`troupe:${name}{`) && other.includes(labels))
    return Number(line?.split(' ').at(-1))
  }
  t.is(figure('prompt_tokens_total'), 2 * 19)
  t.is(figure('generation_tokens_total'), 2 * 22)
  t.is(figure('request_success_total', 'finished_reason="stop"'), 2)
  t.is(figure('http_responses_total', 'status="200"'), 2)
  t.is(figure('http_responses_total', 'status="404"'), 1)
  t.is(figure('time_to_first_token_seconds_count'), 2, 'of answers that are not streamed too')
  t.true(figure('time_per_output_token_seconds_count') >= 18)
  t.is(figure('num_requests_running'), 0)

  // What the engine says of itself is asked for each time.
  const held = gate()
  model.pause = () => held.opened
  const underWay = post('/v1/chat/completions', chat)
  for (let round = 0; round < 1000 && model.active < 1; round++) await new Promise((resolve) => setTimeout(resolve, 5))
  text = await (await fetch(`${server.url}/metrics`)).text()
  t.is(figure('num_requests_running'), 1)
  t.is(figure('http_requests_in_flight'), 1)
  t.is(figure('kv_cache_blocks_used'), 25)
  t.is(figure('kv_cache_usage_perc'), 0.25)
  for (const name of ['num_requests_waiting', 'num_preemptions_total', 'worker_restarts_total']) t.is(figure(name), 0)
  held.open()
  await underWay
})
