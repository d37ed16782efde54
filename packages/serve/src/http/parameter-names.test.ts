import { fileURLToPath } from 'node:url'
import { LLM } from '@troupe/llm'
import test from 'ava'
import { serve } from '../server.js'

const stories = fileURLToPath(new URL('../../../../test/models/stories260k', import.meta.url))

test('a parameter that the model refuses is called what the client called it', async (t) => {
  await using llm = await LLM.load(stories, { contextLength: 64, name: 'm' })
  const server = await serve(llm, { port: 0 })
  t.teardown(() => server.close())
  const errorOf = async (path: string, body: object) => {
    const response = await fetch(`${server.url}${path}`, {
      ...{ method: 'POST', body: JSON.stringify({ model: 'm', max_tokens: 2, ...body }) },
      headers: { 'content-type': 'application/json' },
    })
    t.is(response.status, 400)
    return ((await response.json()) as { error: { message: string; param?: string } }).error
  }
  const refused: Record<string, unknown> = {
    repetition_penalty: 1000,
    logit_bias: { 99999: 1 },
    stop_token_ids: Array(17).fill(5),
    min_tokens: 3,
    stop: 'x'.repeat(2000),
  }
  for (const [field, value] of Object.entries(refused)) {
    const { message, param } = await errorOf('/v1/completions', { prompt: 'x', [field]: value })
    t.regex(message, new RegExp(`^${field} must be .+; found .+`))
    t.is(param, field)
    t.notRegex(message, /[a-z][A-Z]/)
  }
  const messages = [{ role: 'user', content: 'x' }]
  const { message } = await errorOf('/v1/messages', { messages, stop_sequences: ['x'.repeat(2000)] })
  t.regex(message, /^stop_sequences must be a text of 1 to 1024 characters/)
})
