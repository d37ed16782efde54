import type { ChatChoice, ChatChunk, Stream, ToolCallDelta, Usage } from '@troupe/llm'
import type { Work } from '../http/admission.js'
import type { ServerEvent } from '../http/event-stream.js'
import { type App, type Service, workOf } from '../http/service.js'
import { type ChatBody, chatBody, chatOf } from './chat-body.js'
import { DONE, errorEvent, logProbsBody, newId, unixTime, usageBody } from './shapes.js'

/** `POST /v1/chat/completions`. */
export function chatRoutes(app: App, service: Service): void {
  app.post(
    '/v1/chat/completions',
    { schema: { body: chatBody, tags: ['OpenAI'], summary: 'Answers a chat' }, config: { generates: true } },
    async (request, reply) => {
      const { body } = request
      service.checkModel(body.model)
      const { messages, params } = chatOf(body)
      const work = workOf(request)
      const stream = service.model.chat(messages, { ...params, signal: work.signal })
      const head = { id: newId('chatcmpl-'), created: unixTime(), model: service.names[0] }
      if (body.stream) return service.sendEvents(reply, chunksOf(service, work, stream, body, head), errorEvent)
      const { choices, usage } = await service.complete(work, stream)
      return { ...head, object: 'chat.completion', choices: choices.map(choiceBody), usage: usageBody(usage) }
    },
  )
}

function choiceBody({ index, message, logProbs, finishReason }: ChatChoice): object {
  const { content, reasoning, toolCalls } = message
  return {
    index,
    message: {
      role: 'assistant',
      content,
      refusal: null,
      ...(reasoning === undefined ? {} : { reasoning_content: reasoning }),
      ...(toolCalls === undefined || toolCalls.length === 0
        ? {}
        : {
            tool_calls: toolCalls.map(({ id, name, arguments: given }) => {
              return { id, type: 'function', function: { name, arguments: given } }
            }),
          }),
    },
    logprobs: logProbsBody(logProbs),
    finish_reason: finishReason,
  }
}

async function* chunksOf(
  service: Service,
  work: Work,
  stream: Stream<ChatChunk, unknown> & { usage: Usage },
  { stream_options }: ChatBody,
  head: object,
): AsyncGenerator<ServerEvent, void, void> {
  const wantsUsage = stream_options?.include_usage === true
  const chunk = (choices: object[], usage: object | null = null): ServerEvent => {
    return { data: { ...head, object: 'chat.completion.chunk', choices, ...(wantsUsage ? { usage } : {}) } }
  }
  const begun = new Set<number>()
  for await (const { index, finishReason, ...added } of service.follow(work, stream)) {
    if (!begun.has(index)) {
      begun.add(index)
      yield chunk([{ index, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null }])
    }
    const delta = deltaBody(added)
    const logprobs = logProbsBody(added.logProbs)
    if (Object.keys(delta).length > 0 || logprobs !== null) {
      yield chunk([{ index, delta, logprobs, finish_reason: null }])
    }
    if (finishReason !== undefined) {
      yield chunk([{ index, delta: {}, logprobs: null, finish_reason: finishReason }])
    }
  }
  if (wantsUsage) yield chunk([], usageBody(stream.usage))
  yield DONE
}

function deltaBody({ content, reasoning, toolCalls }: Partial<ChatChunk>): object {
  return {
    ...(content ? { content } : {}),
    ...(reasoning ? { reasoning_content: reasoning } : {}),
    ...(toolCalls && toolCalls.length > 0 ? { tool_calls: toolCalls.map(toolCallDeltaBody) } : {}),
  }
}

function toolCallDeltaBody({ index, id, name, arguments: added }: ToolCallDelta): object {
  return {
    index,
    ...(id === undefined ? {} : { id, type: 'function' }),
    function: {
      ...(name === undefined ? {} : { name }),
      ...(added === undefined ? (id === undefined ? {} : { arguments: '' }) : { arguments: added }),
    },
  }
}
