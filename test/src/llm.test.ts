import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { InvalidInputError } from '@troupe/core'
import { type ChatMessage, type GenerationChunk, LLM } from '@troupe/llm'
import test, { type ExecutionContext } from 'ava'
import { stories } from './support/models.js'
import { ProcessGuard } from './support/processes.js'

const template =
  '{{ bos_token }}{% for m in messages %}{{ m.content }} {% endfor %}{{ "</think>[TOOL_CALLS]" if tools }}{% if add_generation_prompt %}One day,{% endif %}'
const messages: ChatMessage[] = [{ role: 'user', content: 'Lily went to the park.' }]

const BEGIN = 1

/** A real tiny model with a chat template. */
function chatModel(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  cpSync(stories, folder, { recursive: true })
  writeFileSync(join(folder, 'chat_template.jinja'), template)
  return folder
}

async function chunksOf<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const chunks: T[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return chunks
}

test.serial('an LLM continues texts and answers chats, whole and streamed, alone and together', async (t) => {
  new ProcessGuard(t)
  await using llm = await LLM.load(chatModel(t), { contextLength: 200, name: 'stories' })
  t.is(llm.name, 'stories')
  t.is(llm.contextLength, 200)
  t.deepEqual(llm.defaults, { temperature: 0 })

  const asked = { maxTokens: 30 }
  const whole = await llm.generate('Once upon a time', asked)
  const [choice] = whole.choices
  t.like(choice, { index: 0, finishReason: 'length' })
  t.is(choice!.tokens.length, 30)
  t.regex(choice!.text, /^,? .{30,}/)
  const prompt = await llm.tokenizer.encode('Once upon a time')
  t.deepEqual(whole.usage, { promptTokens: prompt.length, cachedTokens: 0, completionTokens: 30 })
  t.deepEqual((await llm.generate(prompt, asked)).choices, whole.choices)

  const joined = (chunks: GenerationChunk[], index = 0) => {
    const own = chunks.filter((chunk) => chunk.index === index)
    return {
      ...{ index, text: own.map(({ text }) => text).join(''), tokens: own.flatMap(({ tokens }) => [...tokens]) },
      finishReason: own.at(-1)?.finishReason,
    }
  }
  t.deepEqual(joined(await chunksOf(llm.generate('Once upon a time', asked))), choice)

  // Batches, and several answers with seeds of their own.
  const drawn = { maxTokens: 12, temperature: 1, seed: 5 }
  const texts = ['Once', 'The dog', 'Tom and Sue']
  const together = await Promise.all(texts.map((text) => llm.generate(text, drawn)))
  for (const [i, text] of texts.entries()) t.deepEqual(await llm.generate(text, drawn), together[i])
  const several = await llm.generate('Once', { ...drawn, n: 3 })
  t.deepEqual(several.choices[0], together[0]!.choices[0])
  t.is(new Set(several.choices.map(({ text }) => text)).size, 3)
  t.is(several.usage.completionTokens, 36)
  const streamed = await chunksOf(llm.generate('Once', { ...drawn, n: 3 }))
  for (const one of several.choices) t.deepEqual(joined(streamed, one.index), { ...one })

  // Texts and tokens that end an answer.
  const words = choice!.text.split(' ')
  const stop = `${words[3]!.slice(-1)} ${words[4]!}`
  const stopped = (await llm.generate('Once upon a time', { ...asked, stop: ['never', stop] })).choices[0]!
  t.is(stopped.finishReason, 'stop')
  t.is(stopped.text, choice!.text.slice(0, choice!.text.indexOf(stop)))
  t.deepEqual(stopped.tokens, choice!.tokens.slice(0, stopped.tokens.length))
  const end = choice!.tokens[7]!
  const ended = (await llm.generate('Once upon a time', { ...asked, stopTokens: [end] })).choices[0]!
  t.deepEqual(ended.tokens, choice!.tokens.slice(0, choice!.tokens.indexOf(end)))
  t.is(ended.finishReason, 'stop')

  // A chat continues what its template makes of it, of which the beginning is not written twice.
  const made = await llm.chatPrompt(messages)
  t.is(made.text, '<s>Lily went to the park. One day,')
  t.is(made.tokens[0], BEGIN)
  t.false(made.tokens.slice(1).includes(BEGIN))
  const chat = await llm.chat(messages, asked)
  const plain = await llm.generate(made.tokens, asked)
  t.is(chat.choices[0]!.message.content, plain.choices[0]!.text)
  t.is(chat.usage.promptTokens, made.tokens.length)
  const pieces = await chunksOf(llm.chat(messages, asked))
  t.is(pieces.map(({ content = '' }) => content).join(''), plain.choices[0]!.text)
  t.deepEqual(
    pieces.flatMap(({ tokens }) => tokens),
    plain.choices[0]!.tokens,
  )
  const called = await llm.chat(messages, { ...asked, tools: [{ name: 'now' }] })
  t.like(called.choices[0], { finishReason: 'length', message: { role: 'assistant' } })

  // What cannot be is said before anything runs.
  const refused = async (message: RegExp, work: () => PromiseLike<unknown>) => {
    await t.throwsAsync(async () => await work(), { instanceOf: InvalidInputError, message })
  }
  await refused(/^topp is no parameter/, () => llm.generate('x', { topp: 1 } as object))
  await refused(/^temperature must be/, () => llm.chat(messages, { temperature: -1 }))
  await refused(/^tools\[0\]/, () => llm.chat(messages, { tools: [{ name: '' }] }))
  await refused(/^signal must be/, () => llm.generate('x', { signal: 3 as never }))
  await refused(/^structure: |regular expression/, () =>
    llm.generate('x', { structure: { type: 'regex', pattern: '(' } }),
  )
  await refused(/^the prompt has \d+ tokens, but the context holds 200/, () => llm.generate('word '.repeat(200)))

  // An abort ends all answers with its reason, and what they held is free for others.
  for (let round = 0; round < 3; round++) {
    const controller = new AbortController()
    const reason = new Error(`enough of ${round}`)
    const { signal } = controller
    const stream = llm.generate('Once', { n: 40, signal, ignoreEnd: true, temperature: 1 })
    const loop = async () => {
      for await (const _ of stream) controller.abort(reason)
    }
    t.is(await t.throwsAsync(loop), reason)
    await t.throwsAsync(async () => await llm.generate('Once', { signal }), { is: reason })
  }
  for await (const _ of llm.chat(messages, { ignoreEnd: true })) break
  t.deepEqual((await llm.generate('Once upon a time', asked)).choices, whole.choices)
})

test.serial('a model that cannot be an LLM says why, and leaves no process', async (t) => {
  new ProcessGuard(t)
  const folder = chatModel(t)
  await t.throwsAsync(LLM.load(folder, { toolParser: 'other' as never }), {
    message: /^toolParser must be one of hermes/,
  })
  writeFileSync(join(folder, 'generation_config.json'), JSON.stringify({ top_p: 3 }))
  await t.throwsAsync(LLM.load(folder), { message: /generation_config.json: topP must be .*; correct the file/ })
  rmSync(join(folder, 'tokenizer.json'))
  await t.throwsAsync(LLM.load(folder), {
    instanceOf: InvalidInputError,
    message: /has no tokenizer; add its tokenizer.json/,
  })
})
