import type { AssistantMessage, ToolCall, ToolCallDelta } from './messages.js'
import type { ReasoningSplitter } from './reasoning.js'
import type { ToolCallParser } from './tool-calls/parser.js'

/** What a piece of text adds to an answer; what it does not is left out. */
export interface AnswerDelta {
  content?: string
  reasoning?: string
  toolCalls?: readonly ToolCallDelta[]
}

/** Turns the text of an answer into a message, as it comes. */
export class AnswerParser {
  #content = ''
  #reasoning = ''
  readonly #toolCalls: ToolCall[] = []

  constructor(
    private readonly reasoning: ReasoningSplitter | undefined,
    private readonly tools: ToolCallParser | undefined,
  ) {}

  push(text: string): AnswerDelta {
    const { reasoning, content } = this.reasoning?.push(text) ?? { reasoning: '', content: text }
    return this.#add(reasoning, this.tools?.push(content) ?? { content, toolCalls: [] })
  }

  /** The rest, when no more text comes. */
  end(): AnswerDelta {
    const { reasoning, content } = this.reasoning?.end() ?? { reasoning: '', content: '' }
    const last = this.tools?.push(content) ?? { content, toolCalls: [] }
    const rest = this.tools?.end() ?? { content: '', toolCalls: [] }
    return this.#add(reasoning, {
      content: last.content + rest.content,
      toolCalls: [...last.toolCalls, ...rest.toolCalls],
    })
  }

  /** The message so far. */
  get message(): AssistantMessage {
    const hasCalls = this.#toolCalls.length > 0
    return {
      role: 'assistant',
      content: hasCalls && this.#content === '' ? null : this.#content,
      ...(this.#reasoning === '' ? {} : { reasoning: this.#reasoning }),
      ...(hasCalls ? { toolCalls: this.#toolCalls } : {}),
    }
  }

  #add(reasoning: string, { content, toolCalls }: { content: string; toolCalls: ToolCallDelta[] }): AnswerDelta {
    this.#reasoning += reasoning
    this.#content += content
    for (const { index, id = '', name = '', arguments: text = '' } of toolCalls) {
      this.#toolCalls[index] ??= { id, name, arguments: '' }
      this.#toolCalls[index].arguments += text
    }
    return {
      ...(content === '' ? {} : { content }),
      ...(reasoning === '' ? {} : { reasoning }),
      ...(toolCalls.length === 0 ? {} : { toolCalls }),
    }
  }
}
