import { readFileSync, writeFileSync } from 'node:fs'
import { InvalidInputError } from '@troupe/core'
import type { ChatMessage, ChatParams, LLM, UserMessage } from '@troupe/llm'

/** What a conversation asks of a model. */
export type ChatModel = Pick<LLM, 'name' | 'chat' | 'chatPrompt'>

/** A piece of an answer. */
export interface AnswerPiece {
  content?: string
  reasoning?: string
}

const PARAMS = [
  ...['temperature', 'topK', 'topP', 'minP', 'repetitionPenalty', 'presencePenalty', 'frequencyPenalty'],
  ...['maxTokens', 'minTokens', 'seed', 'stop', 'templateVariables'],
]

/** A chat with a model: what was said, and how answers are drawn. */
export class Conversation {
  #messages: ChatMessage[] = []
  #params: ChatParams

  constructor(
    private readonly model: ChatModel,
    private system: string | undefined,
    params: ChatParams = {},
  ) {
    this.#params = params
  }

  /** Parameters that are not the model's own. */
  get params(): Readonly<ChatParams> {
    return this.#params
  }

  /** Forgets all that was said, but not the system message. */
  reset(): void {
    this.#messages = []
  }

  /** Sets the system message; none if it is empty. */
  instruct(text: string): void {
    this.system = text === '' ? undefined : text
  }

  /**
   * Sets a parameter, or gives it back to the model's defaults without a value.
   * @throws InvalidInputError if there is no such parameter, or it cannot be that.
   */
  async setParam(name: string, value: unknown): Promise<void> {
    if (!PARAMS.includes(name)) {
      throw new InvalidInputError(`${name} is no parameter of a chat; expected ${PARAMS.join(', ')}`)
    }
    const { [name as keyof ChatParams]: _, ...others } = this.#params
    const params: ChatParams = value === undefined ? others : { ...others, [name]: value }
    await this.model.chatPrompt([{ role: 'user', content: 'Hello' }], params)
    this.#params = params
  }

  /**
   * Says something, and gives the answer as it comes. An answer that is ended is kept as far as it came; one that fails is
   * forgotten with its question.
   */
  async *ask(text: string, signal: AbortSignal): AsyncGenerator<AnswerPiece, void, void> {
    const question: ChatMessage = { role: 'user', content: text }
    let content = ''
    let reasoning = ''
    try {
      for await (const piece of this.model.chat(this.#all(question), { ...this.#params, signal })) {
        content += piece.content ?? ''
        reasoning += piece.reasoning ?? ''
        yield piece
      }
    } catch (error) {
      if (!signal.aborted) throw error
    }
    if (content !== '') {
      this.#messages.push(question, { role: 'assistant', content, ...(reasoning === '' ? {} : { reasoning }) })
    }
  }

  /**
   * Takes back the last answer, and what it answered.
   * @returns the question
   * @throws InvalidInputError if nothing was answered yet.
   */
  takeBack(): string {
    const index = this.#messages.findLastIndex(({ role }) => role === 'user')
    if (index < 0) throw new InvalidInputError('there is no answer yet to try again')
    const [question] = this.#messages.splice(index)
    const { content } = question as UserMessage
    return typeof content === 'string' ? content : content.map(({ text }) => text).join('\n')
  }

  /** Writes all that was said to a file. */
  save(path: string): void {
    const content = { model: this.model.name, params: this.#params, messages: this.#all() }
    onFile(path, () => writeFileSync(path, `${JSON.stringify(content, undefined, 2)}\n`))
  }

  /**
   * Goes on with what save() has written, or with any JSON that has messages.
   * @returns how many messages it has
   * @throws InvalidInputError if they are none that the model can read.
   */
  async load(path: string): Promise<number> {
    const content = onFile(path, () => JSON.parse(readFileSync(path, 'utf8'))) as {
      messages?: ChatMessage[]
      params?: ChatParams
    } | null
    const messages = content?.messages
    if (!Array.isArray(messages)) throw new InvalidInputError(`${path} has no list of messages`)
    const params = content?.params ?? {}
    await this.model.chatPrompt(messages, params)
    const first = messages[0]
    const isSystem = first?.role === 'system' && typeof first.content === 'string'
    this.system = isSystem ? (first.content as string) : undefined
    this.#messages = isSystem ? messages.slice(1) : [...messages]
    this.#params = params
    return messages.length
  }

  #all(...more: ChatMessage[]): ChatMessage[] {
    const system: ChatMessage[] = this.system === undefined ? [] : [{ role: 'system', content: this.system }]
    return [...system, ...this.#messages, ...more]
  }
}

function onFile<T>(path: string, work: () => T): T {
  if (path === '') throw new InvalidInputError('expected the name of a file')
  try {
    return work()
  } catch (error) {
    throw new InvalidInputError(`${path}: ${(error as Error).message}`)
  }
}
