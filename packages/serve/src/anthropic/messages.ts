import type { AssistantMessage } from '@troupe/llm'
import { errorBody } from '../http/api-error.js'
import type { ServerEvent } from '../http/event-stream.js'
import { type App, type Service, workOf } from '../http/service.js'
import { newId } from '../openai/shapes.js'
import { countBody, messageBody, messageParamsOf, promptOf } from './message-body.js'
import { messageEvents } from './message-events.js'
import { stopBody, usageBody } from './shapes.js'

const tags = ['Anthropic']

/** `POST /v1/messages` and `POST /v1/messages/count_tokens`. */
export function messageRoutes(app: App, service: Service): void {
  app.post(
    '/v1/messages',
    { schema: { body: messageBody, tags, summary: 'Answers a chat' }, config: { generates: true } },
    async (request, reply) => {
      const { body } = request
      service.checkModel(body.model)
      const { messages, params } = promptOf(body)
      const work = workOf(request)
      const stream = service.model.chat(messages, { ...params, ...messageParamsOf(body), signal: work.signal })
      const head = { id: newId('msg_'), type: 'message', role: 'assistant', model: service.names[0] }
      if (body.stream) {
        const events = messageEvents(service.follow(work, stream), () => stream.usage, head)
        return service.sendEvents(reply, events, errorEvent)
      }
      const { choices, usage } = await service.complete(work, stream)
      const [answer] = choices
      return {
        ...head,
        content: blocksOf(answer!.message),
        ...stopBody(answer!),
        usage: usageBody(usage),
      }
    },
  )
  app.post(
    '/v1/messages/count_tokens',
    { schema: { body: countBody, tags, summary: 'Counts the tokens of a chat' } },
    async ({ body }) => {
      service.checkModel(body.model)
      const { messages, params } = promptOf(body)
      return { input_tokens: (await service.model.chatPrompt(messages, params)).tokens.length }
    },
  )
}

function blocksOf({ content, reasoning, toolCalls }: AssistantMessage): object[] {
  return [
    ...(reasoning ? [{ type: 'thinking', thinking: reasoning, signature: '' }] : []),
    ...(content ? [{ type: 'text', text: content, citations: null }] : []),
    ...(toolCalls ?? []).map(({ id, name, arguments: given }) => {
      return { type: 'tool_use', id, name, input: inputOf(given) }
    }),
  ]
}

/** The arguments of a call; of one whose text was cut off, none. */
function inputOf(given: string): unknown {
  try {
    const input = JSON.parse(given)
    return typeof input === 'object' && input !== null ? input : {}
  } catch {
    return {}
  }
}

function errorEvent(error: Parameters<typeof errorBody>[1]): ServerEvent {
  return { event: 'error', data: errorBody('anthropic', error) }
}
