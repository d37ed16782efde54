import { createHash } from 'node:crypto'
import { InvalidInputError } from '@troupe/core'
import type { ChatFiles } from '../tokenizer/chat-templates.js'
import type { ChatMessage, TextPart, Tool } from './messages.js'
import { ChatTemplate } from './template.js'
import { idFrom } from './tool-calls/formats.js'

/** What a prompt is made of beside the messages. */
export interface PromptOptions {
  tools?: readonly Tool[] | undefined
  /** Further variables of the template, such as `enable_thinking` or `documents`. */
  templateVariables?: Readonly<Record<string, unknown>> | undefined
  /** Whether the last message is to be continued, rather than answered. Default false. */
  continueLast?: boolean | undefined
}

const NEEDLE = 'TroupeFindsThisText'
const CONTINUES = 'TroupeContinuesHere '
/** What Mistral's templates take as the id of a call. */
const SHORT_ID = /^[a-zA-Z0-9]{9}$/

/** Turns chats into the prompts of a model, by the templates in its files. */
export class ChatPrompts {
  readonly #templates = new Map<string, TemplateUse>()

  /** @param model names the model, for errors */
  constructor(
    private readonly files: ChatFiles,
    private readonly model: string,
  ) {}

  /** The source of the template for chats with tools, or without. Undefined if the model has none. */
  source(hasTools: boolean): string | undefined {
    const name = this.#nameOf(hasTools)
    return name === undefined ? undefined : this.files.templates.get(name)
  }

  /**
   * The prompt of a chat, with the texts of special tokens.
   * @throws InvalidInputError if the model has no template, or its template refuses the messages.
   */
  render(
    messages: readonly ChatMessage[],
    { tools, templateVariables, continueLast = false }: PromptOptions = {},
  ): string {
    const hasTools = tools !== undefined && tools.length > 0
    const use = this.#use(hasTools)
    if (hasTools && !use.template.source.includes('tools')) {
      throw new InvalidInputError(
        `the chat template of ${this.model} has no place for tools; use a model trained to call them`,
      )
    }
    const shown = messages.map((message) => use.shown(message, messages))
    if (continueLast) markEnd(shown)
    const text = use.template.render({
      ...Object.fromEntries(this.files.specialTokens),
      ...templateVariables,
      messages: shown,
      tools: hasTools ? tools.map(shownTool) : null,
      documents: templateVariables?.documents ?? null,
      add_generation_prompt: !continueLast,
    })
    return continueLast ? cutAtMark(text, this.model) : text
  }

  #nameOf(hasTools: boolean): string | undefined {
    const { templates } = this.files
    const wanted = hasTools ? ['tool_use', 'default'] : ['default']
    return wanted.find((name) => templates.has(name)) ?? (templates.size === 1 ? [...templates.keys()][0] : undefined)
  }

  #use(hasTools: boolean): TemplateUse {
    const name = this.#nameOf(hasTools)
    if (name === undefined) {
      const named = [...this.files.templates.keys()].join(', ')
      throw new InvalidInputError(
        `${this.model} has no chat template${named ? ` named default, only ${named}` : ''}; add chat_template.jinja to its folder, or continue a text with generate()`,
      )
    }
    let use = this.#templates.get(name)
    if (!use) {
      use = new TemplateUse(new ChatTemplate(this.files.templates.get(name)!, this.model), this.files.specialTokens)
      this.#templates.set(name, use)
    }
    return use
  }
}

/** How messages are given to a template, by what it can read. */
class TemplateUse {
  #reads: { text: boolean; parts: boolean } | undefined

  constructor(
    readonly template: ChatTemplate,
    private readonly specialTokens: ReadonlyMap<string, string>,
  ) {}

  /** A message as transformers' templates expect it. */
  shown(message: ChatMessage, messages: readonly ChatMessage[]): Record<string, unknown> {
    switch (message.role) {
      case 'assistant':
        return this.#assistant(message)
      case 'tool': {
        const id = message.toolCallId
        const name = messages
          .flatMap((other) => (other.role === 'assistant' ? (other.toolCalls ?? []) : []))
          .findLast((call) => call.id === id)?.name
        const content = this.#content(message.content)
        return { role: 'tool', content, tool_call_id: this.#id(id), ...(name === undefined ? {} : { name }) }
      }
      default: {
        const role = message.role === 'developer' && !this.#mentions('developer') ? 'system' : message.role
        return { role, content: this.#content(message.content) }
      }
    }
  }

  #assistant(message: Extract<ChatMessage, { role: 'assistant' }>): Record<string, unknown> {
    const { content, reasoning, toolCalls = [] } = message
    const none = toolCalls.length > 0 && this.#mentions('tool_calls') ? null : this.#content('')
    return {
      role: 'assistant',
      content: content === null ? none : this.#content(content),
      ...(reasoning === undefined ? {} : { reasoning_content: reasoning }),
      ...(toolCalls.length === 0
        ? {}
        : {
            tool_calls: toolCalls.map(({ id, name, arguments: text }) => ({
              id: this.#id(id),
              type: 'function',
              function: { name, arguments: argumentsOf(name, text) },
            })),
          }),
    }
  }

  /** Text where the template reads it, and parts where it reads nothing else, or where parts were given and it goes over them. */
  #content(content: string | readonly TextPart[]): unknown {
    this.#reads ??= { text: this.#shows(NEEDLE), parts: this.#shows([{ type: 'text', text: NEEDLE }]) }
    const { text, parts } = this.#reads
    const isText = typeof content === 'string'
    if (parts && (!isText || !text)) return isText ? [{ type: 'text', text: content }] : content
    return isText ? content : content.map((part) => part.text).join('\n')
  }

  /** Whether content of a kind is in what the template gives for a message, and not how it is written as JSON. */
  #shows(content: unknown): boolean {
    try {
      const text = this.template.render({
        ...Object.fromEntries(this.specialTokens),
        ...{ messages: [{ role: 'user', content }], tools: null, documents: null, add_generation_prompt: true },
      })
      return text.includes(NEEDLE) && !/["']text["']/.test(text.slice(Math.max(0, text.indexOf(NEEDLE) - 40)))
    } catch {
      return false
    }
  }

  #id(id: string): string {
    if (!this.#mentions('length 9') && !this.#mentions('!= 9')) return id
    return SHORT_ID.test(id) ? id : idFrom(createHash('sha256').update(id).digest())
  }

  #mentions(text: string): boolean {
    return this.template.source.includes(text)
  }
}

function shownTool({ name, description, parameters }: Tool): Record<string, unknown> {
  return {
    type: 'function',
    function: {
      name,
      ...(description === undefined ? {} : { description }),
      parameters: parameters ?? { type: 'object', properties: {} },
    },
  }
}

/** Templates write arguments as JSON, so they are given as values. */
function argumentsOf(name: string, text: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(text === '' ? '{}' : text)
  } catch {}
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  throw new InvalidInputError(`the arguments of the call of ${name} must be a JSON object; found ${text.slice(0, 100)}`)
}

function markEnd(messages: Record<string, unknown>[]): void {
  const last = messages.at(-1)
  const content = last?.content
  if (typeof content === 'string') {
    last!.content = content + CONTINUES
  } else if (Array.isArray(content) && content.length > 0) {
    const part = content.at(-1) as TextPart
    last!.content = [...content.slice(0, -1), { ...part, text: part.text + CONTINUES }]
  } else {
    throw new InvalidInputError('continueLast needs a last message with content; add one, or leave continueLast out')
  }
}

/** The text up to the end of the last message; a template that trims messages has trimmed it too. */
function cutAtMark(text: string, model: string): string {
  const at = text.lastIndexOf(CONTINUES.trim())
  if (at < 0) {
    throw new InvalidInputError(
      `the chat template of ${model} does not show the last message as it is, so it cannot be continued`,
    )
  }
  return text.startsWith(CONTINUES, at) ? text.slice(0, at) : text.slice(0, at).trimEnd()
}
