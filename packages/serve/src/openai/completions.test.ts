import test from 'ava'
import OpenAI from 'openai'
import { gate, served } from '../testing/served.js'

function client(url: string): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 0 })
}

test('texts and tokens are continued, one or several, with as many answers as asked for', async (t) => {
  const { server, model, idle } = await served(t)
  const openai = client(server.url)
  const one = await openai.completions.create({ model: 'scripted', prompt: 'Once', echo: true, max_tokens: 3 })
  t.is(one.object, 'text_completion')
  t.like(one.choices[0], { text: 'Once and so on,', index: 0, finish_reason: 'length', logprobs: null })
  t.is(model.prompts[0]!.params.maxTokens, 3)

  const several = await openai.completions.create({ model: 'scripted', prompt: ['a', 'b'], n: 2, stop: 'on.' })
  t.deepEqual(
    several.choices.map(({ index, text, finish_reason }) => [index, text, finish_reason]),
    [0, 1, 2, 3].map((index) => [index, ' and so on, and so', 'stop']),
  )
  t.is(several.usage!.prompt_tokens, 2)

  const tokens = await openai.completions.create({ model: 'scripted', prompt: [[72, 105], [72]], echo: true })
  t.deepEqual(
    tokens.choices.map(({ text }) => text.slice(0, 4)),
    ['Hi a', 'H an'],
  )
  await openai.completions.create({ model: 'scripted', prompt: [72, 105] })
  t.deepEqual(model.prompts.at(-1)!.prompt, [72, 105])
  t.is(model.prompts.at(-1)!.params.maxTokens, 16)
  await idle()
})

test('streams of several texts come side by side, each with its number', async (t) => {
  const { server, idle } = await served(t)
  const stream = await client(server.url).completions.create({
    ...{
      model: 'scripted',
      prompt: ['a', 'b'],
      n: 2,
      echo: true,
      stream: true,
      stream_options: { include_usage: true },
    },
  })
  const texts = ['', '', '', '']
  const reasons: unknown[] = []
  let usage: unknown
  for await (const chunk of stream) {
    usage = chunk.usage
    for (const { index, text, finish_reason } of chunk.choices) {
      texts[index] += text
      if (finish_reason) reasons.push(finish_reason)
    }
  }
  const said = ' and so on, and so on.'
  t.deepEqual(texts, [`a${said}`, `a${said}`, `b${said}`, `b${said}`])
  t.deepEqual(reasons, ['stop', 'stop', 'stop', 'stop'])
  t.like(usage, { prompt_tokens: 2 })
  await idle()
})

test('log-probabilities of completions say where each token begins', async (t) => {
  const { server, idle } = await served(t)
  const openai = client(server.url)
  const asked = { model: 'scripted', prompt: 'a', logprobs: 2, max_tokens: 3 }
  const { choices } = await openai.completions.create(asked)
  t.deepEqual(choices[0]!.logprobs, {
    tokens: [' and', ' so', ' on,'],
    token_logprobs: [-0.5, -0.5, -0.5],
    top_logprobs: [' and', ' so', ' on,'].map((token) => ({ [token]: -0.5, 0: -2 })),
    text_offset: [0, 4, 7],
  })
  const offsets: number[] = []
  for await (const chunk of await openai.completions.create({ ...asked, stream: true })) {
    offsets.push(...(chunk.choices[0]!.logprobs?.text_offset ?? []))
  }
  t.deepEqual(offsets, [0, 4, 7])
  await idle()
})

test('when one of several prompts cannot be used, none is generated from', async (t) => {
  const { post, model, idle } = await served(t)
  model.pause = () => gate().opened
  for (const stream of [true, false]) {
    const response = await post('/v1/completions', { model: 'scripted', prompt: ['a', 'b', ''], stream })
    t.is(response.status, 400)
    t.regex(await response.text(), /prompt is empty/)
    await idle()
  }
  model.pause = () => undefined
  const failing = await post('/v1/completions', { model: 'scripted', prompt: ['a', [300]] })
  t.is(failing.status, 400)
  await idle()
})

test('embeddings are numbers or base64, whole or shortened', async (t) => {
  const { server, model, post, idle } = await served(t)
  const openai = client(server.url)
  // The client itself asks for base64 when it is not told what to ask for.
  for (const encoding of [{}, { encoding_format: 'float' as const }]) {
    const { data, usage } = await openai.embeddings.create({ model: 'scripted', input: ['abc', 'b'], ...encoding })
    t.deepEqual(
      data.map(({ index, embedding }) => [index, embedding.length, embedding[0], embedding[1], embedding[3]]),
      [
        [0, 4, 3, 97, -1],
        [1, 4, 1, 98, -1],
      ],
    )
    t.deepEqual(usage, { prompt_tokens: 4, total_tokens: 4 })
  }
  const short = await openai.embeddings.create({
    model: 'scripted',
    input: [72],
    dimensions: 2,
    encoding_format: 'float',
  })
  const [first, second] = short.data[0]!.embedding
  t.true(Math.abs(first! ** 2 + second! ** 2 - 1) < 1e-6)
  const long = await post('/v1/embeddings', { model: 'scripted', input: 'a', dimensions: 9 })
  t.like(await long.json(), { error: { param: 'dimensions' } })
  Object.assign(model, { embed: undefined })
  t.is((await post('/v1/embeddings', { model: 'scripted', input: 'a' })).status, 400)
  await idle()
})

test('the model is listed under all of its names, and texts are cut into tokens and put together', async (t) => {
  const { server, post, idle } = await served(t, { names: ['org/tales', 'tales'] })
  const openai = client(server.url)
  const ids: string[] = []
  for await (const { id } of openai.models.list()) ids.push(id)
  t.deepEqual(ids, ['org/tales', 'tales'])
  t.is((await openai.models.retrieve('org/tales')).id, 'org/tales')
  t.is((await openai.models.retrieve('tales')).object, 'model')
  await t.throwsAsync(openai.models.retrieve('other'), { instanceOf: OpenAI.NotFoundError })

  t.deepEqual(await (await post('/tokenize', { prompt: 'Hi' })).json(), {
    ...{ tokens: [72, 105], count: 2, max_model_len: 2000 },
  })
  const chat = await post('/tokenize', { messages: [{ role: 'user', content: 'Hi' }] })
  t.like(await chat.json(), { count: 'user: Hi\n'.length })
  t.is((await post('/tokenize', { prompt: 'Hi', messages: [{ role: 'user', content: 'Hi' }] })).status, 400)
  t.deepEqual(await (await post('/detokenize', { tokens: [72, 105] })).json(), { prompt: 'Hi' })
  await idle()
})
