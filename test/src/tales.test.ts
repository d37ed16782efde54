import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type ChatMessage, LLM } from '@troupe/llm'
import test from 'ava'
import { tales } from './support/models.js'
import { ProcessGuard } from './support/processes.js'

/** Of the answers below, with a margin below what the card of the model says. */
const LEAST_SHARE_RIGHT = 0.65
/** Of the held-out stories in a row, with a margin above what the model has. */
const MOST_PERPLEXITY = 1.85

/** A chat that the model was not trained on; `asked` has the kind of question that each of these messages answers. */
interface HeldOutChat {
  messages: { role: 'system' | 'user' | 'assistant'; content: string }[]
  asked: Record<string, string>
}

const chats = readFileSync(join(tales, 'heldout-chats.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map((line): HeldOutChat => JSON.parse(line))

test.serial('the model that ships tells the story that is asked for, and answers questions about it', async (t) => {
  new ProcessGuard(t)
  await using llm = await LLM.load(tales)
  const say = async (messages: ChatMessage[]) => {
    const { choices } = await llm.chat(messages, { temperature: 0, maxTokens: 600 })
    return choices[0]!
  }
  const request: ChatMessage = { role: 'user', content: 'Tell me a story about a lost kitten.' }
  const { message: story, finishReason } = await say([request])
  t.is(finishReason, 'stop')
  t.regex(story.content!, /kitten[\s\S]{200,}[.!"]$/)
  const { message: answer } = await say([request, story, { role: 'user', content: 'Who is the story about?' }])
  t.regex(answer.content!, /kitten/)

  const questions = chats.slice(0, 6).flatMap(({ messages, asked }) =>
    Object.keys(asked).map((place) => ({
      before: messages.slice(0, Number(place)),
      right: messages[Number(place)]!.content,
    })),
  )
  t.true(questions.length >= 40)
  const answers = await Promise.all(questions.map(({ before }) => say(before)))
  const wrong = questions.flatMap(({ before, right }, i) => {
    const { content } = answers[i]!.message
    return content === right ? [] : [`${before.at(-1)!.content} ${content} (${right})`]
  })
  const share = 1 - wrong.length / questions.length
  t.true(share >= LEAST_SHARE_RIGHT, `${share}\n${wrong.join('\n')}`)
  t.true(answers.every((answer) => answer.finishReason === 'stop'))
})

test.serial('the model that ships expects the words of stories that it has not seen', async (t) => {
  const guard = new ProcessGuard(t)
  const asked = ['--model', tales, '--text', join(tales, 'heldout.txt'), '--max-tokens', '6144', '--json']
  const end = await guard.troupe('perplexity', ...asked).finished
  t.is(end.status, 0, end.stderr)
  const { perplexity } = JSON.parse(end.stdout)
  t.true(perplexity > 1 && perplexity <= MOST_PERPLEXITY, `${perplexity}`)
})

test('the chat template knows the roles of a chat and refuses others', async (t) => {
  new ProcessGuard(t)
  await using llm = await LLM.load(tales)
  const hello: ChatMessage = { role: 'user', content: ' Hello ' }
  const { text, tokens } = await llm.chatPrompt([{ role: 'system', content: 'Be kind.' }, hello])
  t.is(text, '<|startoftext|><|system|>Be kind.<|user|>Hello<|assistant|>')
  t.is(llm.tokenizer.decode(tokens), 'Be kind.Hello')
  t.deepEqual(await llm.tokenizer.encode('<|startoftext|>', { addSpecialTokens: false }), tokens.slice(0, 1))
  const tools = [{ name: 'now' }]
  await t.throwsAsync(llm.chatPrompt([hello], { tools }), { message: /no place for tools/ })
  const answer: ChatMessage = { role: 'tool', toolCallId: 'a', content: 'late' }
  await t.throwsAsync(llm.chatPrompt([hello, answer]), { message: /roles system, user and assistant, not tool/ })
})
