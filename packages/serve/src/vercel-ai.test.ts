import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateText, jsonSchema, Output, streamText, tool } from 'ai'
import test from 'ava'
import { served } from './testing/served.js'

test('the Vercel AI SDK gets texts, streams, tools and objects', async (t) => {
  const { server, model, idle } = await served(t)
  const provider = createOpenAICompatible({
    ...{ name: 'troupe', baseURL: `${server.url}/v1`, includeUsage: true, supportsStructuredOutputs: true },
  })
  const scripted = provider('scripted')
  const { text, usage } = await generateText({ model: scripted, prompt: 'good morning' })
  t.is(text, 'You said: good morning')
  t.is(usage.inputTokens, 19)

  model.answer = () => ({ reasoning: 'hm', content: 'Good morning' })
  const stream = streamText({ model: scripted, prompt: 'good morning' })
  let streamed = ''
  for await (const part of stream.textStream) streamed += part
  t.is(streamed, 'Good morning')
  t.is(await stream.reasoningText, 'hm')
  t.is(await stream.finishReason, 'stop')

  model.answer = () => ({ toolCalls: [{ id: 'call_1', name: 'weather', arguments: '{"city":"Ulm"}' }] })
  const inputSchema = jsonSchema<{ city: string }>({ type: 'object', properties: { city: { type: 'string' } } })
  const tools = { weather: tool({ inputSchema }) }
  const called = await generateText({ model: scripted, prompt: 'good morning', tools })
  t.like(called.toolCalls[0], { toolName: 'weather', input: { city: 'Ulm' } })

  model.answer = () => ({ content: '{"city":"Ulm"}' })
  const output = Output.object({ schema: inputSchema })
  t.deepEqual((await generateText({ model: scripted, prompt: 'good morning', output })).output, { city: 'Ulm' })
  t.like(model.chats.at(-1)!.params.structure, { type: 'json_schema' })
  await idle()
})
