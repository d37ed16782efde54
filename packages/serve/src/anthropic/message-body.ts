import type { ChatMessage, ChatParams, ToolChoice } from '@troupe/llm'
import { z } from 'zod'
import { badRequest } from '../http/api-error.js'
import { functionName, plainObject, textPart } from '../http/schemas.js'
import { toolParamsOf } from '../openai/chat-body.js'
import { defined } from '../openai/sampling.js'

const text = textPart('text')
const texts = z.union([z.string(), z.array(text)])

const UNREADABLE =
  'only texts, thoughts, calls of tools and their results can be read by the models that are served here'

const block = z.discriminatedUnion(
  'type',
  [
    z.object({ type: z.literal('text'), text: z.string() }),
    z.object({ type: z.literal('thinking'), thinking: z.string() }),
    z.object({ type: z.literal('redacted_thinking') }),
    z.object({ type: z.literal('tool_use'), id: z.string(), name: z.string(), input: plainObject }),
    z.object({
      type: z.literal('tool_result'),
      tool_use_id: z.string(),
      content: texts.nullish(),
      is_error: z.boolean().nullish(),
    }),
  ],
  UNREADABLE,
)

type Block = z.infer<typeof block>

const toolChoice = z.discriminatedUnion('type', [
  z.object({ type: z.enum(['auto', 'any']), disable_parallel_tool_use: z.boolean().nullish() }),
  z.object({ type: z.literal('none') }),
  z.object({ type: z.literal('tool'), name: z.string(), disable_parallel_tool_use: z.boolean().nullish() }),
])

/** The fields of a body that a prompt is made of. */
const promptFields = {
  model: z.string(),
  messages: z
    .array(z.object({ role: z.enum(['user', 'assistant']), content: z.union([z.string(), z.array(block)]) }))
    .min(1),
  system: texts.nullish(),
  tools: z
    .array(
      z.object({
        type: z.literal('custom', 'only tools of the type custom can be called here').nullish(),
        name: functionName,
        description: z.string().nullish(),
        input_schema: plainObject,
        strict: z.boolean().nullish(),
      }),
    )
    .max(1024)
    .nullish(),
  tool_choice: toolChoice.nullish(),
  thinking: z
    .discriminatedUnion('type', [
      z.object({ type: z.literal('enabled'), budget_tokens: z.int().min(1).nullish() }),
      z.object({ type: z.enum(['disabled', 'adaptive']) }),
    ])
    .nullish(),
}

/** The body of `POST /v1/messages/count_tokens`. */
export const countBody = z.object(promptFields)

/** The body of `POST /v1/messages`. */
export const messageBody = z.object({
  ...promptFields,
  max_tokens: z.int().min(1),
  temperature: z.number().min(0).max(1).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int().min(0).nullish(),
  stop_sequences: z.array(z.string().min(1)).max(64).nullish(),
  stream: z.boolean().nullish(),
  output_config: z
    .object({
      format: z.object({ type: z.literal('json_schema'), schema: plainObject }).nullish(),
      effort: z.string().nullish(),
    })
    .nullish(),
})

/** The body of `POST /v1/messages`. */
export type MessageBody = z.infer<typeof messageBody>

/** How the answer is made, beside of what the prompt is made of. */
export function messageParamsOf(body: MessageBody): ChatParams {
  const { format } = body.output_config ?? {}
  return defined({
    maxTokens: body.max_tokens,
    temperature: body.temperature,
    topP: body.top_p === 0 ? 1e-6 : body.top_p,
    topK: body.top_k,
    stop: body.stop_sequences,
    structure: format ? ({ type: 'json_schema', schema: format.schema } as const) : undefined,
  })
}

/**
 * The chat that a body is, with its tools.
 * @throws ApiError if a tool has to be called that is not given, or a block is in a message of the wrong role
 */
export function promptOf(body: z.infer<typeof countBody>): { messages: ChatMessage[]; params: ChatParams } {
  const tools = body.tools?.map(({ name, description, input_schema: parameters, strict }) => {
    return { name, parameters, ...defined({ description, strict }) }
  })
  const choice = body.tool_choice
  const isSingle = choice && 'disable_parallel_tool_use' in choice && choice.disable_parallel_tool_use === true
  const thinks = body.thinking && body.thinking.type !== 'disabled'
  const messages = body.messages.flatMap(({ role, content }): ChatMessage[] => {
    if (typeof content === 'string') return [{ role, content }]
    return role === 'user' ? ofUser(content) : [ofAssistant(content)]
  })
  const isContinued = messages.at(-1)?.role === 'assistant'
  return {
    messages: body.system ? [{ role: 'system', content: body.system }, ...messages] : messages,
    params: {
      ...toolParamsOf(tools, choice ? choiceOf(choice) : undefined),
      ...(isSingle ? { parallelToolCalls: false } : {}),
      ...(isContinued ? { continueLast: true } : {}),
      ...(body.thinking ? { templateVariables: { enable_thinking: thinks } } : {}),
    },
  }
}

function choiceOf(choice: z.infer<typeof toolChoice>): ToolChoice {
  if (choice.type === 'tool') return { name: choice.name }
  return choice.type === 'any' ? 'required' : choice.type
}

/** Results of tools are messages of their own, before what the user says besides. */
function ofUser(blocks: readonly Block[]): ChatMessage[] {
  const results: ChatMessage[] = []
  const said: { type: 'text'; text: string }[] = []
  for (const part of blocks) {
    if (part.type === 'tool_result') {
      results.push({ role: 'tool', toolCallId: part.tool_use_id, content: part.content ?? '' })
    } else if (part.type === 'text') {
      said.push(part)
    } else {
      throw badRequest(`a block of type ${part.type} belongs in a message of the assistant`, 'messages')
    }
  }
  return said.length === 0 && results.length > 0 ? results : [...results, { role: 'user', content: said }]
}

function ofAssistant(blocks: readonly Block[]): ChatMessage {
  const texts: string[] = []
  const thoughts: string[] = []
  const toolCalls: { id: string; name: string; arguments: string }[] = []
  for (const part of blocks) {
    if (part.type === 'text') texts.push(part.text)
    if (part.type === 'thinking') thoughts.push(part.thinking)
    if (part.type === 'tool_use') {
      toolCalls.push({ id: part.id, name: part.name, arguments: JSON.stringify(part.input) })
    }
    if (part.type === 'tool_result') {
      throw badRequest('a block of type tool_result belongs in a message of the user', 'messages')
    }
  }
  return {
    role: 'assistant',
    content: texts.length > 0 ? texts.join('') : null,
    ...(thoughts.length > 0 ? { reasoning: thoughts.join('') } : {}),
    ...(toolCalls.length > 0 ? { toolCalls } : {}),
  }
}
