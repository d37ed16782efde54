import type { ChatChunk, ChatMessage, Usage } from '@troupe/llm'
import { z } from 'zod'
import type { ServerEvent } from '../http/event-stream.js'
import { type App, type Service, workOf } from '../http/service.js'
import { newId, unixTime } from '../openai/shapes.js'
import { type OutputEvent, ResponseOutput } from './output.js'
import { type ResponseBody, responseBody, responseChatOf } from './response-body.js'
import { ResponseStore } from './store.js'

const tags = ['OpenAI']
const params = z.object({ id: z.string() })

/** `POST /v1/responses`, and `GET` and `DELETE` of one that is stored. */
export function responseRoutes(app: App, service: Service): void {
  const store = new ResponseStore()
  app.post(
    '/v1/responses',
    { schema: { body: responseBody, tags, summary: 'Answers a chat' }, config: { generates: true } },
    async (request, reply) => {
      const { body } = request
      service.checkModel(body.model)
      const added = responseChatOf(body)
      const previous = body.previous_response_id
      const earlier = previous ? store.get(previous, 400, 'previous_response_id').messages : []
      const chat = [...earlier, ...added.messages]
      const messages: ChatMessage[] = body.instructions
        ? [{ role: 'system', content: body.instructions }, ...chat]
        : chat
      const work = workOf(request)
      const stream = service.model.chat(messages, { ...added.params, signal: work.signal })
      const response = new ResponseInMaking(body, service.names[0]!)
      const events = response.events(service.follow(work, stream), () => stream.usage)
      const keep = (output: ResponseOutput) => {
        if (body.store === false) return
        store.add({ body: response.body as { id: string }, messages: [...chat, output.message()] })
      }
      if (body.stream) {
        return service.sendEvents(
          reply,
          numbered(events, () => keep(response.output)),
          ({ code, message, param }) => {
            return { event: 'error', data: { type: 'error', code, message, param, sequence_number: 0 } }
          },
        )
      }
      for await (const _ of events);
      keep(response.output)
      return response.body
    },
  )
  app.get('/v1/responses/:id', { schema: { params, tags, summary: 'A response that is stored' } }, async (request) => {
    return store.get(request.params.id, 404, null).body
  })
  app.delete('/v1/responses/:id', { schema: { params, tags, summary: 'Forgets a response' } }, async (request) => {
    const { id } = request.params
    store.get(id, 404, null)
    store.delete(id)
    return { id, object: 'response', deleted: true }
  })
}

async function* numbered(
  events: AsyncGenerator<OutputEvent, void, void>,
  onEnd: () => void,
): AsyncGenerator<ServerEvent, void, void> {
  let sequence_number = 0
  for await (const event of events) {
    if (event.type === 'response.completed' || event.type === 'response.incomplete') onEnd()
    yield { event: event.type, data: { ...event, sequence_number: sequence_number++ } }
  }
}

/** A response, from its first event to its last. */
class ResponseInMaking {
  readonly output = new ResponseOutput()
  /** As it is. */
  body: object

  constructor(asked: ResponseBody, model: string) {
    this.body = {
      ...{ id: newId('resp_'), object: 'response', created_at: unixTime(), status: 'in_progress', error: null },
      ...{ incomplete_details: null, instructions: asked.instructions ?? null, metadata: asked.metadata ?? {}, model },
      ...{ max_output_tokens: asked.max_output_tokens ?? null, output: [] },
      ...{ parallel_tool_calls: asked.parallel_tool_calls ?? true },
      previous_response_id: asked.previous_response_id ?? null,
      reasoning: { effort: asked.reasoning?.effort ?? null, summary: null },
      ...{ store: asked.store ?? true, temperature: asked.temperature ?? 1, top_p: asked.top_p ?? 1 },
      text: { format: asked.text?.format ?? { type: 'text' } },
      ...{ tool_choice: asked.tool_choice ?? 'auto', tools: asked.tools ?? [], truncation: 'disabled', usage: null },
      user: asked.user ?? null,
    }
  }

  /** Begins with the first chunk, so that what goes wrong before is no event. */
  async *events(
    chunks: AsyncGenerator<ChatChunk, void, void>,
    usage: () => Usage,
  ): AsyncGenerator<OutputEvent, void, void> {
    const begin = () => ['response.created', 'response.in_progress'].map((type) => ({ type, response: this.body }))
    let isBegun = false
    let reasoningTokens = 0
    let isCut = false
    for await (const chunk of chunks) {
      if (!isBegun) yield* begin()
      isBegun = true
      if (chunk.reasoning) reasoningTokens += chunk.tokens.length
      isCut = chunk.finishReason === 'length'
      yield* this.output.add(chunk)
    }
    if (!isBegun) yield* begin()
    const status = isCut ? 'incomplete' : 'completed'
    yield* this.output.end(status)
    this.body = {
      ...this.body,
      status,
      incomplete_details: isCut ? { reason: 'max_output_tokens' } : null,
      output: this.output.body(status),
      usage: usageBody(usage(), reasoningTokens),
    }
    yield { type: `response.${status}`, response: this.body }
  }
}

function usageBody({ promptTokens, cachedTokens, completionTokens }: Usage, reasoningTokens: number): object {
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: cachedTokens },
    output_tokens: completionTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens },
    total_tokens: promptTokens + completionTokens,
  }
}
