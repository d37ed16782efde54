import type { ChatMessage, ChatParams, Tool, ToolChoice } from '@troupe/llm'
import { z } from 'zod'
import { badRequest } from '../http/api-error.js'
import { functionName, jsonSchema, plainObject, textPart } from '../http/schemas.js'
import { defined, samplingFields, samplingParamsOf, structureFields, structureOf } from './sampling.js'

const content = z.union([z.string(), z.array(textPart('text'))])

const toolCall = z.object({
  id: z.string(),
  type: z.literal('function').optional(),
  function: z.object({ name: z.string(), arguments: z.string() }),
})

const message = z.discriminatedUnion('role', [
  z.object({ role: z.enum(['system', 'developer']), content }),
  z.object({ role: z.literal('user'), content }),
  z.object({
    role: z.literal('assistant'),
    content: content.nullish(),
    reasoning_content: z.string().nullish(),
    reasoning: z.string().nullish(),
    tool_calls: z.array(toolCall).nullish(),
  }),
  z.object({ role: z.literal('tool'), content, tool_call_id: z.string() }),
])

const tool = z.object({
  type: z.literal('function', 'only tools of the type function can be called here'),
  function: z.object({
    name: functionName,
    description: z.string().nullish(),
    parameters: jsonSchema.nullish(),
    strict: z.boolean().nullish(),
  }),
})

const toolChoice = z.union([
  z.enum(['none', 'auto', 'required']),
  z.object({ type: z.literal('function'), function: z.object({ name: z.string() }) }),
])

/** The body of `POST /v1/chat/completions`. */
export const chatBody = z.object({
  model: z.string(),
  messages: z.array(message).min(1),
  ...samplingFields,
  ...structureFields,
  max_completion_tokens: z.int().min(1).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  tools: z.array(tool).max(1024).nullish(),
  tool_choice: toolChoice.nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  reasoning_effort: z.string().nullish(),
  chat_template_kwargs: plainObject.nullish(),
  continue_final_message: z.boolean().nullish(),
})

/** The body of `POST /v1/chat/completions`. */
export type ChatBody = z.infer<typeof chatBody>

/** A chat as the model takes it. */
export interface Chat {
  messages: ChatMessage[]
  params: ChatParams
}

/**
 * The chat that a body asks to continue.
 * @throws ApiError if fields contradict each other, or a tool is named that is not given.
 */
export function chatOf(body: ChatBody): Chat {
  if (body.top_logprobs && body.logprobs !== true) {
    throw badRequest('top_logprobs needs logprobs to be true', 'top_logprobs')
  }
  const tools = body.tools?.map(({ function: { name, description, parameters, strict } }) => {
    return { name, ...defined({ description, parameters, strict }) }
  })
  const choice = body.tool_choice
  const params: ChatParams = {
    ...samplingParamsOf(body),
    ...defined({
      maxTokens: body.max_completion_tokens ?? body.max_tokens,
      logProbs: body.logprobs ? (body.top_logprobs ?? 0) : undefined,
      structure: structureOf(body),
      parallelToolCalls: body.parallel_tool_calls,
      continueLast: body.continue_final_message,
      templateVariables: templateVariablesOf(body),
    }),
    ...toolParamsOf(tools, typeof choice === 'object' ? choice && { name: choice.function.name } : choice),
  }
  return { messages: body.messages.map(messageOf), params }
}

/**
 * Tools, and which of them may be called.
 * @throws ApiError if two have one name, or one has to be called that is not given.
 */
export function toolParamsOf(
  tools: readonly Tool[] | null | undefined,
  choice: ToolChoice | null | undefined,
): Pick<ChatParams, 'tools' | 'toolChoice'> {
  const names = new Set<string>()
  for (const { name } of tools ?? []) {
    if (names.has(name)) throw badRequest(`two tools have the name ${name}; give each its own`, 'tools')
    names.add(name)
  }
  if (names.size === 0 && (choice === 'required' || typeof choice === 'object')) {
    if (choice !== null) throw badRequest('tool_choice asks for a call, but no tools are given', 'tool_choice')
  }
  if (typeof choice === 'object' && choice !== null && !names.has(choice.name)) {
    const known = [...names].join(', ')
    throw badRequest(`tool_choice names ${JSON.stringify(choice.name)}; expected one of ${known}`, 'tool_choice')
  }
  return names.size === 0 ? {} : defined({ tools, toolChoice: choice })
}

function templateVariablesOf(body: ChatBody): Record<string, unknown> | undefined {
  const { reasoning_effort: effort, chat_template_kwargs: given } = body
  if (!effort && !given) return undefined
  return { ...(effort ? reasoningVariables(effort) : {}), ...given }
}

/** The variables by which templates know how much the model is to think. */
export function reasoningVariables(effort: string): Record<string, unknown> {
  return effort === 'none' ? { enable_thinking: false } : { reasoning_effort: effort }
}

function messageOf(message: ChatBody['messages'][number]): ChatMessage {
  switch (message.role) {
    case 'assistant':
      return {
        role: 'assistant',
        content: textOf(message.content),
        ...defined({
          reasoning: message.reasoning_content ?? message.reasoning,
          toolCalls: message.tool_calls?.map(({ id, function: called }) => ({ id, ...called })),
        }),
      }
    case 'tool':
      return { role: 'tool', content: message.content, toolCallId: message.tool_call_id }
    default:
      return { role: message.role, content: message.content }
  }
}

function textOf(content: string | { text: string }[] | null | undefined): string | null {
  if (content === null || content === undefined) return null
  return typeof content === 'string' ? content : content.map(({ text }) => text).join('')
}
