import { InvalidInputError } from '@troupe/core'
import { AnswerParser } from '../chat/answer.js'
import { checkChat } from '../chat/check-messages.js'
import type { ChatMessage, Tool } from '../chat/messages.js'
import type { ChatPrompts } from '../chat/prompt.js'
import { endsInReasoning, type ReasoningMarks, ReasoningSplitter, reasoningMarksOf } from '../chat/reasoning.js'
import {
  type ForcedCalls,
  forcedCalls,
  marksOf,
  type ToolCallFormat,
  toolCallFormatOf,
  toolCallParser,
} from '../chat/tool-calls/formats.js'
import type { ChatParams, Structure } from './params.js'

/** A chat as a text to continue, and how the continuation is read. */
export class ChatRequest {
  /** The prompt. */
  readonly text: string
  /** The special tokens whose text the parsers have to see. */
  readonly shown: readonly string[]
  /** What the continuation is held to. */
  readonly structure: Structure | undefined
  readonly #tools: readonly Tool[]
  readonly #format: ToolCallFormat | undefined
  readonly #reasoning: ReasoningMarks | undefined
  readonly #isInReasoning: boolean
  /** The beginning of a call that the prompt has taken from the answer. */
  readonly #begin: string

  /**
   * @param format how the model writes calls of tools, by default as its template shows
   * @throws InvalidInputError if the chat is not one, or the model has no template that takes it.
   */
  constructor(
    prompts: ChatPrompts,
    messages: readonly ChatMessage[],
    params: ChatParams,
    model: string,
    format?: ToolCallFormat,
  ) {
    const { tools = [], toolChoice, parallelToolCalls, templateVariables, continueLast } = params
    checkChat({ messages, tools, toolChoice, parallelToolCalls, templateVariables, continueLast })
    this.#tools = toolChoice === 'none' ? [] : tools
    const text = prompts.render(messages, { tools: this.#tools, templateVariables, continueLast })
    const source = prompts.source(this.#tools.length > 0)!
    this.#format = this.#tools.length > 0 ? (format ?? formatOf(source, model)) : undefined
    this.#reasoning = reasoningMarksOf(source)
    const isInReasoning = this.#reasoning !== undefined && endsInReasoning(text, this.#reasoning)
    const forced = this.#forced(params)
    // A call that has to be made is not thought about: what the template has begun is ended.
    const closing = forced && isInReasoning ? `\n${this.#reasoning!.end}\n\n` : ''
    this.#isInReasoning = isInReasoning && !forced
    this.#begin = forced?.begin ?? ''
    this.text = text + closing + this.#begin
    this.structure = forced ? { type: 'json_schema', schema: forced.schema } : params.structure
    const { begin, end } = this.#reasoning ?? { begin: [], end: [] }
    this.shown = [begin, end, this.#format ? marksOf(this.#format) : []].flat()
  }

  /** A parser of one answer. */
  parser(): AnswerParser {
    const splitter = this.#reasoning && new ReasoningSplitter(this.#reasoning, this.#isInReasoning)
    const parser = new AnswerParser(splitter, this.#format && toolCallParser(this.#format, this.#tools))
    parser.push(this.#begin)
    return parser
  }

  #forced({ toolChoice, parallelToolCalls = true }: ChatParams): ForcedCalls | undefined {
    if (this.#format === undefined || toolChoice === undefined || toolChoice === 'auto') return undefined
    const named = typeof toolChoice === 'object' ? toolChoice.name : undefined
    const tools = this.#tools.filter(({ name }) => named === undefined || name === named)
    return forcedCalls(this.#format, tools, parallelToolCalls && named === undefined)
  }
}

function formatOf(template: string, model: string): ToolCallFormat {
  const format = toolCallFormatOf(template)
  if (format) return format
  throw new InvalidInputError(
    `how ${model} writes calls of tools is not known from its chat template; load it with toolParser: 'hermes', 'llama' or 'mistral'`,
  )
}
