import { once } from 'node:events'
import test from 'ava'
import OpenAI, { APIError } from 'openai'
import { ServedTales } from './support/served.js'

const MOST_REQUESTS = 20
const messages = [{ role: 'user' as const, content: 'Lily went to the park.' }]
/** What is asked of each answer here: short ones that say the same each time. */
const greedy = { model: 'tales', temperature: 0, max_tokens: 24 }
/** Beyond OpenAI's own fields. */
const endless = { ignore_eos: true } as object

let served: ServedTales

test.before(async () => {
  served = await ServedTales.start('--pipeline', '2', '--threads', '1', '--max-queue', String(MOST_REQUESTS))
})

test.after.always(() => {
  served?.command.child.kill('SIGKILL')
  served?.clear()
})

async function contentOf(stream: AsyncIterable<OpenAI.ChatCompletionChunk>): Promise<string> {
  let content = ''
  for await (const { choices } of stream) content += choices[0]?.delta.content ?? ''
  return content
}

async function statusOf(work: () => PromiseLike<unknown>): Promise<APIError> {
  try {
    await work()
  } catch (error) {
    if (error instanceof APIError) return error
    throw error
  }
  throw new Error('expected an error of the API')
}

test.serial("OpenAI's client gets chats whole and streamed, texts and responses, all of the same tokens", async (t) => {
  const { openai } = served
  t.deepEqual(
    (await openai.models.list()).data.map(({ id }) => id),
    ['tales'],
  )
  const whole = await openai.chat.completions.create({ ...greedy, messages })
  const content = whole.choices[0]!.message.content!
  t.regex(content, /^ \w.{20,}/s)
  t.is(whole.choices[0]!.finish_reason, 'length')
  t.is(whole.usage!.completion_tokens, 24)
  const stream = await openai.chat.completions.create({
    ...{ ...greedy, messages, stream: true, stream_options: { include_usage: true } },
  })
  const usages: (OpenAI.CompletionUsage | null | undefined)[] = []
  let streamed = ''
  for await (const { choices, usage } of stream) {
    usages.push(usage)
    streamed += choices[0]?.delta.content ?? ''
  }
  t.is(streamed, content)
  t.is(usages.at(-1)!.completion_tokens, 24)
  t.is(usages.at(-1)!.prompt_tokens, whole.usage!.prompt_tokens)
  t.is(await contentOf(openai.chat.completions.stream({ ...greedy, messages })), content)

  const text = await openai.completions.create({ ...greedy, prompt: 'Lily went to the park. One day,' })
  t.is(text.choices[0]!.text, content)
  const response = await openai.responses.create({
    ...{ model: 'tales', temperature: 0, max_output_tokens: 24, input: messages[0]!.content },
  })
  t.is(response.output_text, content)
  t.is(response.status, 'incomplete')
  const alone = await Promise.all(
    ['Once', 'Tom and Sue'].map((prompt) => openai.completions.create({ ...greedy, prompt })),
  )
  const together = await openai.completions.create({ ...greedy, prompt: ['Once', 'Tom and Sue'] })
  t.deepEqual(
    together.choices.map(({ text }) => text),
    alone.map(({ choices }) => choices[0]!.text),
  )
})

test.serial("Anthropic's client gets messages whole and streamed, the same as OpenAI's", async (t) => {
  const { openai, anthropic } = served
  const chat = await openai.chat.completions.create({ ...greedy, messages })
  const asked = { model: 'tales', max_tokens: 24, temperature: 0, messages }
  const message = await anthropic.messages.create(asked)
  t.like(message.content[0], { type: 'text', text: chat.choices[0]!.message.content })
  t.is(message.stop_reason, 'max_tokens')
  t.is(message.usage.output_tokens, 24)
  const stream = anthropic.messages.stream(asked)
  t.is(await stream.finalText(), chat.choices[0]!.message.content!)
  const counted = await anthropic.messages.countTokens({ model: 'tales', messages })
  t.is(counted.input_tokens, chat.usage!.prompt_tokens)
})

test.serial('answers end before stop texts, are several, are drawn by seeds, and keep to structures', async (t) => {
  const { openai } = served
  const [plain] = (await openai.chat.completions.create({ ...greedy, messages })).choices
  const stop = plain!.message.content!.split(' ')[4]!
  const stopped = await openai.chat.completions.create({ ...greedy, messages, stop: [stop, 'never said'] })
  t.is(stopped.choices[0]!.message.content, plain!.message.content!.split(stop)[0]!)
  t.is(stopped.choices[0]!.finish_reason, 'stop')

  const drawn = { ...greedy, messages, temperature: 1, seed: 5 }
  const three = await openai.chat.completions.create({ ...drawn, n: 3 })
  const texts = three.choices.map(({ message }) => message.content)
  t.is(new Set(texts).size, 3)
  t.is((await openai.chat.completions.create(drawn)).choices[0]!.message.content, texts[0] ?? null)
  t.not((await openai.chat.completions.create({ ...drawn, seed: 6 })).choices[0]!.message.content, texts[0] ?? null)

  const schema = {
    type: 'object',
    properties: { animal: { enum: ['cat', 'dog'] }, legs: { type: 'integer', minimum: 2, maximum: 9 } },
    required: ['animal', 'legs'],
    additionalProperties: false,
  }
  const object = await openai.chat.completions.create({
    ...{ ...greedy, messages, max_tokens: 80 },
    response_format: { type: 'json_schema', json_schema: { name: 'pet', strict: true, schema } },
  })
  const pet = JSON.parse(object.choices[0]!.message.content!)
  t.deepEqual(Object.keys(pet), ['animal', 'legs'])
  t.true(['cat', 'dog'].includes(pet.animal) && Number.isInteger(pet.legs) && pet.legs >= 2 && pet.legs <= 9)
  t.is(object.choices[0]!.finish_reason, 'stop')
  const chosen = await openai.chat.completions.create({
    ...{ ...greedy, messages, structured_outputs: { choice: ['red', 'blue'] } },
  })
  t.true(['red', 'blue'].includes(chosen.choices[0]!.message.content!))

  const called = await openai.chat.completions.create({
    ...{ ...greedy, messages, max_tokens: 200, tool_choice: 'required' },
    tools: [{ type: 'function', function: { name: 'keep', parameters: schema } }],
  })
  t.is(called.choices[0]!.finish_reason, 'tool_calls')
  const [call] = called.choices[0]!.message.tool_calls!
  t.true(call!.type === 'function' && call!.function.name === 'keep')
  if (call!.type === 'function') t.deepEqual(Object.keys(JSON.parse(call!.function.arguments)), ['animal', 'legs'])
})

test.serial('log-probabilities are those of the text, the likeliest first, and sum up to at most one', async (t) => {
  const { openai } = served
  const { choices } = await openai.chat.completions.create({ ...greedy, messages, logprobs: true, top_logprobs: 20 })
  const tokens = choices[0]!.logprobs!.content!
  t.is(tokens.length, 24)
  t.is(Buffer.from(tokens.flatMap(({ bytes }) => bytes!)).toString(), choices[0]!.message.content!)
  for (const { logprob, top_logprobs: top } of tokens) {
    t.is(top.length, 20)
    t.is(top[0]!.logprob, logprob, 'the likeliest is the one that was taken')
    t.deepEqual(
      top.map((other) => other.logprob),
      top.map((other) => other.logprob).toSorted((a, b) => b - a),
    )
    const sum = top.reduce((total, other) => total + Math.exp(other.logprob), 0)
    t.true(sum > Math.exp(logprob) && sum < 1.0001, String(sum))
  }
  const text = await openai.completions.create({ ...greedy, prompt: 'Lily went to the park. One day,', logprobs: 5 })
  const given = text.choices[0]!.logprobs!
  t.deepEqual(
    given.token_logprobs!,
    tokens.map(({ logprob }) => logprob),
  )
  t.true(given.top_logprobs!.every((top) => Object.keys(top).length >= 1))
})

test.serial('a prompt that begins as one before it did says in its usage what was not computed again', async (t) => {
  const { openai } = served
  const shared = Array.from({ length: 1000 }, (_, i) => 100 + ((i * 7919) % 900))
  const ask = async (last: number) => {
    const { usage } = await openai.completions.create({ ...greedy, max_tokens: 1, prompt: [...shared, last] })
    return usage!.prompt_tokens_details!.cached_tokens!
  }
  const before = await served.metric('prefix_cache_hits_total')
  t.true((await ask(500)) < 100)
  const cached = await ask(501)
  t.true(cached >= 900 && cached <= 1000, String(cached))
  t.true((await served.metric('prefix_cache_hits_total')) >= before + cached)
})

test.serial('what cannot be is answered with the status and the shape that clients know', async (t) => {
  const { openai } = served
  const refused = (body: object) => statusOf(() => openai.chat.completions.create({ ...greedy, messages, ...body }))
  t.true((await refused({ model: 'gpt-9' })) instanceof OpenAI.NotFoundError)
  t.like(await refused({ temperature: 'hot' }), { status: 400, param: 'temperature' })
  t.like(await refused({ messages: [{ role: 'user', content: 'word '.repeat(3000) }] }), {
    ...{ status: 400, code: 'context_length_exceeded' },
  })
  t.like(await refused({ response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { type: 3 } } } }), {
    status: 400,
  })
  t.like(await refused({ structured_outputs: { regex: '(' } }), { status: 400 })
  t.like(await refused({ logit_bias: { 99999: 1 } }), { status: 400 })
  t.like(await statusOf(() => openai.completions.create({ ...greedy, prompt: [5, 1024] })), { status: 400 })
  for (const error of [await refused({ temperature: 'hot' }), await refused({ structured_outputs: { regex: '(' } })]) {
    t.notRegex(error.message, /\n|node_modules|file:|\/home|\/tmp/)
  }
  t.is(await served.metric('kv_cache_blocks_used'), 0)
})

test.serial('past the most requests there is status 429, and clients that leave free what they held', async (t) => {
  const { openai } = served
  const leaving = new AbortController()
  const long = { ...greedy, ...endless, messages, max_tokens: 1500 }
  const ask = () => openai.chat.completions.create({ ...long, stream: true }, { signal: leaving.signal })
  const streams = await Promise.all(Array.from({ length: MOST_REQUESTS - 4 }, ask))
  const whole = Array.from({ length: 4 }, () =>
    t.throwsAsync(openai.chat.completions.create(long, { signal: leaving.signal })),
  )
  const underWay = await served.metricUntil('http_requests_in_flight', (count) => count === MOST_REQUESTS)
  t.is(underWay, MOST_REQUESTS)
  t.true((await served.metricUntil('num_requests_waiting', (waiting) => waiting > 0)) > 0)
  t.true((await served.metric('num_requests_running')) > 1)
  const used = await served.metric('kv_cache_blocks_used')
  t.true(used > 0 && used <= (await served.metric('kv_cache_blocks')))
  const error = await statusOf(ask)
  t.true(error instanceof OpenAI.RateLimitError)
  t.regex(error.headers!.get('retry-after')!, /^\d+$/)
  leaving.abort()
  await Promise.allSettled([...whole, ...streams.map(contentOf)])
  for (const name of [
    'kv_cache_blocks_used',
    'num_requests_running',
    'num_requests_waiting',
    'http_requests_in_flight',
  ]) {
    t.is(await served.metricUntil(name, (value) => value === 0), 0, name)
  }
  t.truthy(await openai.chat.completions.create({ ...greedy, messages }))
})

const ROUNDS = process.env.TROUPE_TEST_THOROUGH ? 20 : 2

test.serial(
  `kill -9 of a worker under 16 requests, ${ROUNDS} times: each ends with the text it has without`,
  async (t) => {
    const { openai } = served
    const prompts = Array.from({ length: 16 }, (_, i) => `Story number ${i + 1}: Once upon a time`)
    const ask = (prompt: string) =>
      openai.completions.create({ ...greedy, ...endless, max_tokens: 48, prompt, stream: true })
    const textOf = async (prompt: string, onText = () => {}) => {
      let text = ''
      for await (const { choices } of await ask(prompt)) {
        text += choices[0]!.text
        onText()
      }
      return text
    }
    const expected = await Promise.all(prompts.map((prompt) => textOf(prompt)))
    for (let round = 0; round < ROUNDS; round++) {
      const workers = served.workers
      t.is(workers.length, 2)
      let seen = 0
      const kill = () => {
        if (++seen === 16 * (1 + round * 2)) process.kill(workers[round % 2]!, 'SIGKILL')
      }
      t.deepEqual(await Promise.all(prompts.map((prompt) => textOf(prompt, kill))), expected)
      t.is(await served.metric('worker_restarts_total'), round + 1)
      t.is(served.command.child.exitCode, null)
    }
    t.is(await served.metricUntil('kv_cache_blocks_used', (value) => value === 0), 0)
  },
)

test.serial('SIGTERM lets requests under way end, refuses others, and the command ends with status 0', async (t) => {
  const { openai, command } = served
  t.teardown(() => served.guard.check(t))
  const stream = await openai.chat.completions.create({
    ...{ ...greedy, ...endless, messages, max_tokens: 300, stream: true },
  })
  const parts = stream[Symbol.asyncIterator]()
  await parts.next()
  const exited = once(command.child, 'exit')
  command.child.kill('SIGTERM')
  for (let looks = 0; looks < 500; looks++) {
    const { status } = await fetch(`${served.url}/health`)
    if (status === 503) break
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  t.is((await statusOf(() => openai.chat.completions.create({ ...greedy, messages }))).status, 503)
  let last: string | null = null
  for (let part = await parts.next(); !part.done; part = await parts.next()) {
    last = part.value.choices[0]?.finish_reason ?? last
  }
  t.is(last, 'length')
  t.deepEqual(await exited, [0, null])
  t.is((await command.finished).stderr, '')
})
