import { InvalidInputError } from '@troupe/core'
import type { Conversation } from './conversation.js'
import type { LineHistory } from './line-history.js'
import { LineReader, type Terminal } from './line-reader.js'
import { AnswerStyles } from './styles.js'

const QUOTES = '"""'
const COMMANDS: Record<string, string> = {
  '/help': 'show this',
  '/reset': 'forget all that was said',
  '/system TEXT': 'set the system message; without TEXT, none',
  '/params [NAME [VALUE]]': 'show parameters, or set one such as temperature; without VALUE, to its default',
  '/retry': 'have the last message be answered again',
  '/save FILE': 'write what was said to a file',
  '/load FILE': 'go on with what was saved',
  '/exit': 'end, as Ctrl-D does',
}

/**
 * Lets a user talk: on a terminal until Ctrl-D, with commands and messages of several lines; else each line is a message.
 * @throws InvalidInputError and what answering throws, where the input is no terminal; on a terminal they are shown.
 */
export async function chatLoop(
  conversation: Conversation,
  terminal: Terminal,
  errors: NodeJS.WritableStream,
  history?: LineHistory,
): Promise<void> {
  let answering: AbortController | undefined
  const reader = new LineReader(terminal, history, () => {
    answering?.abort()
    return answering !== undefined
  })
  const answer = async (text: string) => {
    answering = new AbortController()
    try {
      await show(conversation.ask(text, answering.signal), terminal)
    } finally {
      answering = undefined
    }
  }
  try {
    for (let message = await nextMessage(reader, terminal); message !== undefined; ) {
      if (message === '/exit') break
      try {
        const text = message.startsWith('/') ? await run(message, conversation, errors) : message
        if (text !== undefined && text.trim() !== '') await answer(text)
      } catch (error) {
        if (!terminal.isTerminal) throw error
        errors.write(`error: ${(error as Error).message.split('\n')[0]}\n`)
      }
      message = await nextMessage(reader, terminal)
    }
    if (terminal.isTerminal) terminal.output.write('\n')
  } finally {
    reader.close()
  }
}

/** A message, which on a terminal goes on behind a line that ends in \, and from """ to """. */
async function nextMessage(reader: LineReader, { isTerminal }: Terminal): Promise<string | undefined> {
  const first = await reader.next('> ')
  if (first === undefined || !isTerminal) return first
  if (first.startsWith(QUOTES)) {
    const lines = [first.slice(QUOTES.length)]
    while (!lines.at(-1)!.endsWith(QUOTES)) {
      const line = await reader.next('. ')
      if (line === undefined) return undefined
      lines.push(line)
    }
    return lines.join('\n').slice(0, -QUOTES.length).trim()
  }
  const lines = [first]
  while (lines.at(-1)!.endsWith('\\')) {
    const line = await reader.next('. ')
    if (line === undefined) return undefined
    lines.push(lines.pop()!.slice(0, -1), line)
  }
  return lines.join('\n')
}

async function show(pieces: ReturnType<Conversation['ask']>, { output, isTerminal }: Terminal): Promise<void> {
  const styles = new AnswerStyles()
  let isThinking = false
  try {
    for await (const { content = '', reasoning = '' } of pieces) {
      if (!isTerminal) {
        output.write(content)
        continue
      }
      if (reasoning !== '') output.write(styles.reasoning(reasoning))
      isThinking ||= reasoning !== ''
      if (content === '') continue
      output.write(`${isThinking ? '\n\n' : ''}${styles.content(content)}`)
      isThinking = false
    }
  } finally {
    // What is said of an error begins on a line of its own.
    output.write(`${isTerminal ? styles.end() : ''}\n`)
  }
}

/**
 * Runs a command.
 * @returns what is to be said to the model, if anything
 * @throws InvalidInputError if it is none, or cannot be done.
 */
async function run(
  line: string,
  conversation: Conversation,
  notes: NodeJS.WritableStream,
): Promise<string | undefined> {
  if (line.startsWith('//')) return line.slice(1)
  const [, name, rest] = /^(\S+)\s*([\s\S]*)$/.exec(line)!
  const text = rest!.trim()
  switch (name) {
    case '/help':
      notes.write(help())
      return undefined
    case '/reset':
      conversation.reset()
      return undefined
    case '/system':
      conversation.instruct(text)
      return undefined
    case '/params':
      await params(text, conversation, notes)
      return undefined
    case '/retry':
      return conversation.takeBack()
    case '/save':
      conversation.save(text)
      return undefined
    case '/load':
      notes.write(`${await conversation.load(text)} messages\n`)
      return undefined
    default:
      throw new InvalidInputError(
        `${name} is no command; /help lists them, and a message that begins with a slash is written with two`,
      )
  }
}

async function params(text: string, conversation: Conversation, notes: NodeJS.WritableStream): Promise<void> {
  const [, name, rest] = /^(\S*)[\s=]*([\s\S]*)$/.exec(text)!
  if (name !== '') await conversation.setParam(name!, rest === '' ? undefined : paramValue(rest!))
  for (const [name, value] of Object.entries(conversation.params)) notes.write(`${name} ${JSON.stringify(value)}\n`)
}

/** JSON, or a text. */
function paramValue(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function help(): string {
  const width = Math.max(...Object.keys(COMMANDS).map(({ length }) => length))
  const lines = Object.entries(COMMANDS).map(([name, what]) => `${name.padEnd(width)}  ${what}`)
  return [
    ...lines,
    '',
    'A line that ends in \\ goes on in the next, and a message from """ to """ has several lines.',
    'Ctrl-C ends an answer.',
    '',
  ].join('\n')
}
