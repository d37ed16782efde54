import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import { InvalidInputError } from '@troupe/core'
import type { ChatChunk, ChatMessage, ChatParams } from '@troupe/llm'
import test, { type ExecutionContext } from 'ava'
import { chatLoop } from './chat-loop.js'
import { type ChatModel, Conversation } from './conversation.js'
import { LineHistory } from './line-history.js'

/** Keeps what is written, and can be waited on for a text. */
class Screen extends Writable {
  text = ''
  #changed: (() => void)[] = []

  override _write(chunk: unknown, _: string, done: () => void): void {
    this.text += String(chunk)
    for (const tell of this.#changed.splice(0)) tell()
    done()
  }

  async shows(wanted: string, from = 0): Promise<void> {
    while (!this.text.slice(from).includes(wanted)) await new Promise<void>((resolve) => this.#changed.push(resolve))
  }
}

/** Answers with what it was told; a question that has `wait` in it only until it is ended. */
class EchoModel {
  readonly name = 'echo'
  readonly asked: { messages: readonly ChatMessage[]; params: ChatParams }[] = []

  chat(messages: readonly ChatMessage[], { signal, ...params }: ChatParams = {}) {
    this.asked.push({ messages, params })
    const text = String(messages.at(-1)!.content)
    return (async function* (): AsyncGenerator<ChatChunk> {
      if (text.includes('fail')) throw new InvalidInputError('it is too long')
      if (text.includes('think')) yield { index: 0, tokens: [], reasoning: 'Hm.' }
      yield { index: 0, tokens: [], content: `You said: ${text}` }
      if (!text.includes('wait')) return
      await new Promise((_, reject) => signal!.addEventListener('abort', () => reject(signal!.reason)))
    })()
  }

  async chatPrompt(_: readonly ChatMessage[], params: ChatParams = {}) {
    if ((params.temperature ?? 0) < 0) throw new InvalidInputError('temperature must be a number of at least 0')
    return { text: '', tokens: [] }
  }
}

function begin(t: ExecutionContext, isTerminal: boolean, system?: string) {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const model = new EchoModel()
  const conversation = new Conversation(model as unknown as ChatModel, system)
  const [input, screen, notes] = [new PassThrough(), new Screen(), new Screen()]
  const history = new LineHistory(join(folder, 'state', 'history'))
  const over = chatLoop(conversation, { input, output: screen, isTerminal }, notes, isTerminal ? history : undefined)
  const said = () => model.asked.at(-1)!.messages.map(({ role, content }) => [role, content])
  return { folder, model, input, screen, notes, over, said }
}

test('lines that are piped in are a message each, with what was said before, and answers are all that is written', async (t) => {
  const { input, screen, notes, over, said, model } = begin(t, false, 'Be brief.')
  input.end('Hello\nthink \\\n\n/params temperature 0.5\n//etc\n')
  await over
  t.is(screen.text, 'You said: Hello\nYou said: think \\\nYou said: /etc\n')
  t.deepEqual(said(), [
    ['system', 'Be brief.'],
    ['user', 'Hello'],
    ['assistant', 'You said: Hello'],
    ['user', 'think \\'],
    ['assistant', 'You said: think \\'],
    ['user', '/etc'],
  ])
  t.deepEqual(model.asked.at(-1)!.params, { temperature: 0.5 })
  t.is(notes.text, 'temperature 0.5\n')
})

test('what cannot be done ends a chat that is piped in', async (t) => {
  for (const [line, message] of [
    ['fail', /it is too long/],
    ['/nothing', /\/nothing is no command; \/help lists them/],
    ['/params temperature -1', /temperature must be/],
    ['/params colour red', /colour is no parameter of a chat; expected temperature, /],
    ['/retry', /there is no answer yet/],
    ['/load', /expected the name of a file/],
    ['/load /nowhere/chat.json', /\/nowhere\/chat\.json: ENOENT/],
  ] as const) {
    const { input, over } = begin(t, false)
    input.end(`${line}\nmore\n`)
    await t.throwsAsync(over, { instanceOf: InvalidInputError, message }, line)
  }
})

test('Ctrl-C ends an answer and nothing else, and what came of it is kept', async (t) => {
  const { input, screen, over, said } = begin(t, true)
  await screen.shows('> ')
  input.write('wait\r')
  await screen.shows('You said: wait')
  const before = screen.text.length
  input.write('typed meanwhile\x03')
  await screen.shows('> ', before)
  t.true(screen.text.slice(before).includes('typed meanwhile'), 'what was typed is in the next line')
  // Ctrl-C empties a line.
  input.write('\x03')
  await screen.shows('(Ctrl-D or /exit ends)')
  input.write('Hello\r')
  await screen.shows('You said: Hello')
  t.deepEqual(said(), [
    ['user', 'wait'],
    ['assistant', 'You said: wait'],
    ['user', 'Hello'],
  ])
  input.write('\x04')
  await over
})

test('on a terminal messages have several lines, errors are shown, thoughts are dim and bold text is bold', async (t) => {
  const { input, screen, notes, over, said } = begin(t, true)
  input.write('one \\\rtwo\r')
  await screen.shows('You said: one \ntwo')
  input.write('"""\rthree\r\rthink **so**"""\r')
  await screen.shows('\x1b[2mHm.\x1b[0m\n\nYou said: three\n\nthink \x1b[0m\x1b[1m**so**\x1b[0m')
  input.write('fail\r')
  await notes.shows('error: it is too long\n')
  input.write('/params temperature -1\r')
  await notes.shows('error: temperature must be')
  input.write('/retry\r')
  await screen.shows('think', screen.text.lastIndexOf('retry'))
  input.write('/exit\r')
  await over
  t.deepEqual(
    said().filter(([role]) => role === 'user'),
    [
      ['user', 'one \ntwo'],
      ['user', 'three\n\nthink **so**'],
    ],
  )
})

test('a chat is saved and gone on with, and forgotten when it is to be', async (t) => {
  const first = begin(t, false)
  const file = join(first.folder, 'chat.json')
  first.input.end(`/system Be kind.\n/params seed 7\nHello\n/save ${file}\n/reset\n/system\nHow are you?\n`)
  await first.over
  t.deepEqual(first.said(), [['user', 'How are you?']])
  const saved = JSON.parse(readFileSync(file, 'utf8'))
  t.like(saved, { model: 'echo', params: { seed: 7 }, messages: { length: 3 } })

  const second = begin(t, false)
  second.input.end(`/load ${file}\nAnd now?\n`)
  await second.over
  t.is(second.notes.text, '3 messages\n')
  t.deepEqual(second.said(), [
    ['system', 'Be kind.'],
    ['user', 'Hello'],
    ['assistant', 'You said: Hello'],
    ['user', 'And now?'],
  ])
  t.deepEqual(second.model.asked[0]!.params, { seed: 7 })
})

test('typed lines are kept for the next chat, where nobody else can read them', async (t) => {
  const { folder, input, screen, over } = begin(t, true)
  input.write('Hello\r')
  await screen.shows('You said: Hello')
  input.write('/exit\r')
  await over
  const path = join(folder, 'state', 'history')
  t.is(statSync(path).mode & 0o777, 0o600)
  t.deepEqual(new LineHistory(path).lines, ['Hello', '/exit'])

  const again = begin(t, true)
  const lines = new LineHistory(path)
  t.deepEqual(lines.lines, ['Hello', '/exit'])
  lines.add('/exit')
  lines.add('  ')
  t.deepEqual(new LineHistory(path).lines, ['Hello', '/exit'])
  again.input.write('\x04')
  await again.over
})
