import { fileURLToPath } from 'node:url'
import { LLM } from '@troupe/llm'
import test from 'ava'
import OpenAI from 'openai'
import { serve } from '../server.js'

const stories = fileURLToPath(new URL('../../../../test/models/stories260k', import.meta.url))

test('a model gives clients vectors of texts and tokens, whole or shortened', async (t) => {
  await using llm = await LLM.load(stories, { contextLength: 64 })
  const errors: unknown[] = []
  const server = await serve(llm, { port: 0, onError: (error) => errors.push(error) })
  t.teardown(() => server.close())
  const openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'any', maxRetries: 0 })
  const model = 'stories260k'
  const input = ['Lily went to the park.', 'Tom had a red ball.']
  const { embeddings, usage } = await llm.embed(input)

  // The client asks for base64 by itself.
  const { data, usage: told } = await openai.embeddings.create({ model, input })
  t.deepEqual(
    data.map(({ index, embedding }) => ({ index, embedding })),
    embeddings.map((vector, index) => ({ index, embedding: [...vector] })),
  )
  t.deepEqual(told, { prompt_tokens: usage.promptTokens, total_tokens: usage.promptTokens })

  const tokens = await llm.tokenizer.encode(input[0]!)
  const one = await openai.embeddings.create({ model, input: tokens, dimensions: 8, encoding_format: 'float' })
  t.is(one.data.length, 1)
  const short = one.data[0]!.embedding
  t.is(short.length, 8)
  t.true(Math.abs(Math.hypot(...short) - 1) < 1e-6)
  t.true(short.every((value, i) => Math.sign(value) === Math.sign(embeddings[0]![i]!)))

  const refused = async (text: string, message: RegExp) => {
    await t.throwsAsync(openai.embeddings.create({ model, input: text }), {
      instanceOf: OpenAI.BadRequestError,
      message,
    })
  }
  await refused('Lily '.repeat(70), /has \d+ tokens, but the context holds 64/)
  t.deepEqual(errors, [])
})
