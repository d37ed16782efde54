import type { ChatMessage, ChatParams, Structure } from '@troupe/llm'
import { z } from 'zod'
import { badRequest } from '../http/api-error.js'
import { functionName, jsonSchema, textPart } from '../http/schemas.js'
import { reasoningVariables, toolParamsOf } from '../openai/chat-body.js'
import { defined } from '../openai/sampling.js'

const content = z.union([z.string(), z.array(textPart('input_text', 'output_text', 'text'))])

const messageItem = z.object({
  type: z.literal('message').optional(),
  role: z.enum(['user', 'assistant', 'system', 'developer']),
  content,
})

const callItem = z.object({
  type: z.literal('function_call'),
  call_id: z.string(),
  name: z.string(),
  arguments: z.string(),
})

const outputItem = z.object({ type: z.literal('function_call_output'), call_id: z.string(), output: content })

const reasoningItem = z.object({
  type: z.literal('reasoning'),
  content: z.array(textPart('reasoning_text')).nullish(),
  summary: z.array(textPart('summary_text')).nullish(),
})

const item = z.union([messageItem, callItem, outputItem, reasoningItem])

const format = z.discriminatedUnion('type', [
  z.object({ type: z.enum(['text', 'json_object']) }),
  z.object({
    type: z.literal('json_schema'),
    name: z.string(),
    schema: jsonSchema,
    strict: z.boolean().nullish(),
    description: z.string().nullish(),
  }),
])

const tool = z.object({
  type: z.literal('function', 'only tools of the type function can be called here'),
  name: functionName,
  description: z.string().nullish(),
  parameters: jsonSchema.nullish(),
  strict: z.boolean().nullish(),
})

/** The body of `POST /v1/responses`. */
export const responseBody = z.object({
  model: z.string(),
  input: z.union([z.string(), z.array(item).min(1)]),
  instructions: z.string().nullish(),
  previous_response_id: z.string().nullish(),
  store: z.boolean().nullish(),
  stream: z.boolean().nullish(),
  max_output_tokens: z.int().min(1).nullish(),
  temperature: z.number().min(0).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  include: z.array(z.string()).nullish(),
  tools: z.array(tool).max(1024).nullish(),
  tool_choice: z
    .union([z.enum(['none', 'auto', 'required']), z.object({ type: z.literal('function'), name: z.string() })])
    .nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  text: z.object({ format: format.nullish() }).nullish(),
  reasoning: z.object({ effort: z.string().nullish() }).nullish(),
  metadata: z.record(z.string(), z.string()).nullish(),
  background: z.boolean().nullish(),
  conversation: z.unknown().optional(),
  user: z.string().nullish(),
})

/** The body of `POST /v1/responses`. */
export type ResponseBody = z.infer<typeof responseBody>

/**
 * What a body adds to a chat.
 * @throws ApiError if it asks for what is not supported, or a tool has to be called that is not given
 */
export function responseChatOf(body: ResponseBody): { messages: ChatMessage[]; params: ChatParams } {
  if (body.background) throw badRequest('background is not supported; ask for a stream instead', 'background')
  if (body.conversation !== undefined && body.conversation !== null) {
    throw badRequest('conversation is not supported; give previous_response_id instead', 'conversation')
  }
  const tools = body.tools?.map(({ name, description, parameters, strict }) => {
    return { name, ...defined({ description, parameters, strict }) }
  })
  const choice = body.tool_choice
  const wantsLogProbs = body.include?.includes('message.output_text.logprobs') || body.top_logprobs
  const { effort } = body.reasoning ?? {}
  return {
    messages: typeof body.input === 'string' ? [{ role: 'user', content: body.input }] : messagesOf(body.input),
    params: {
      ...defined({
        maxTokens: body.max_output_tokens,
        temperature: body.temperature,
        topP: body.top_p === 0 ? 1e-6 : body.top_p,
        logProbs: wantsLogProbs ? (body.top_logprobs ?? 0) : undefined,
        parallelToolCalls: body.parallel_tool_calls,
        structure: structureOf(body.text?.format),
        templateVariables: effort ? reasoningVariables(effort) : undefined,
      }),
      ...toolParamsOf(tools, typeof choice === 'object' ? choice && { name: choice.name } : choice),
    },
  }
}

function structureOf(asked: z.infer<typeof format> | null | undefined): Structure | undefined {
  if (asked?.type === 'json_object') return { type: 'json' }
  return asked?.type === 'json_schema' ? { type: 'json_schema', schema: asked.schema } : undefined
}

/** Thoughts, texts and calls of tools that follow each other are one message of the assistant. */
function messagesOf(items: readonly z.infer<typeof item>[]): ChatMessage[] {
  const messages: ChatMessage[] = []
  for (const given of items) {
    if (given.type === 'function_call') {
      const { call_id: id, name, arguments: args } = given
      extendLast(messages, { toolCall: { id, name, arguments: args } })
    } else if (given.type === 'function_call_output') {
      messages.push({ role: 'tool', toolCallId: given.call_id, content: textOf(given.output) })
    } else if (given.type === 'reasoning') {
      extendLast(messages, { reasoning: textOf(given.content ?? given.summary ?? '') })
    } else if (given.role === 'assistant') {
      extendLast(messages, { content: textOf(given.content) })
    } else {
      messages.push({ role: given.role, content: textOf(given.content) })
    }
  }
  return messages
}

function extendLast(
  messages: ChatMessage[],
  added: { content?: string; reasoning?: string; toolCall?: { id: string; name: string; arguments: string } },
): void {
  const last = messages.at(-1)
  const base = last?.role === 'assistant' ? last : { role: 'assistant' as const, content: null }
  const { content: text, reasoning, toolCall } = added
  const extended = {
    ...base,
    ...(text === undefined ? {} : { content: (base.content ?? '') + text }),
    ...(reasoning === undefined ? {} : { reasoning: (base.reasoning ?? '') + reasoning }),
    ...(toolCall === undefined ? {} : { toolCalls: [...(base.toolCalls ?? []), toolCall] }),
  }
  messages.splice(base === last ? -1 : messages.length, 1, extended)
}

function textOf(given: string | readonly { text: string }[]): string {
  return typeof given === 'string' ? given : given.map(({ text }) => text).join('')
}
