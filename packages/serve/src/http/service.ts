import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FinishReason, Stream, Usage } from '@troupe/llm'
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest, RawServerDefault } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import type { ServedModel } from '../model.js'
import type { Work } from './admission.js'
import { ApiError, apiErrorOf, apiOf } from './api-error.js'
import { type EventStreamOptions, type ServerEvent, sendEvents } from './event-stream.js'
import type { Metrics } from './metrics.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** Of a request that has the model compute something. */
    work: Work | undefined
  }
  interface FastifyContextConfig {
    /** Whether requests have the model compute something, and count for the most at once. */
    generates?: boolean
    /** Whether no key is asked for. */
    isPublic?: boolean
  }
}

/** The HTTP server, whose routes have zod schemas. */
export type App = FastifyInstance<RawServerDefault, IncomingMessage, ServerResponse, FastifyBaseLogger, ZodTypeProvider>

/** Something with the finish reasons of answers in it. */
interface Finished {
  choices: readonly { finishReason: FinishReason }[]
}

/** What routes share: the model under its names, and the way from its streams to clients. */
export class Service {
  /** When the server was started, in seconds of Unix time. */
  readonly created = Math.floor(Date.now() / 1000)

  /**
   * @param names that clients may give the model; the first is what answers say
   * @param report is told of errors that are the server's own
   */
  constructor(
    readonly model: ServedModel,
    readonly names: readonly string[],
    readonly metrics: Metrics,
    private readonly streams: EventStreamOptions,
    readonly report: (error: unknown) => void,
  ) {}

  /** @throws ApiError with status 404 unless the name is one of the model's. */
  checkModel(name: string): void {
    if (this.names.includes(name)) return
    const known = this.names.join(', ')
    const shown = JSON.stringify(name.slice(0, 100))
    throw new ApiError(404, `no model ${shown} is served here; expected ${known}`, 'model_not_found', 'model')
  }

  /** All of a stream. */
  async complete<Chunk, Result extends Finished & { usage: Usage }>(
    work: Work,
    stream: Stream<Chunk, Result>,
  ): Promise<Result> {
    try {
      const result = await stream
      for (const { finishReason } of result.choices) this.metrics.finished(finishReason)
      return result
    } finally {
      this.#firstToken(work, stream)
      this.metrics.ended(work, stream.usage)
    }
  }

  /** What a stream gives, as it comes. */
  async *follow<Chunk extends { tokens: readonly number[]; finishReason?: FinishReason }>(
    work: Work,
    stream: Stream<Chunk, unknown>,
  ): AsyncGenerator<Chunk, void, void> {
    let last: number | undefined
    try {
      for await (const chunk of stream) {
        const now = performance.now()
        if (last === undefined) this.#firstToken(work, stream)
        else this.metrics.furtherTokens(now - last, chunk.tokens.length)
        last = now
        if (chunk.finishReason !== undefined) this.metrics.finished(chunk.finishReason)
        yield chunk
      }
    } finally {
      this.metrics.ended(work, stream.usage)
    }
  }

  #firstToken({ began }: Work, { firstTokenAt }: Stream<unknown, unknown>): void {
    if (firstTokenAt !== undefined) this.metrics.firstToken(firstTokenAt - began)
  }

  /** Answers with events; `errorEvent` says what an error looks like that comes after the first of them. */
  async sendEvents(
    reply: FastifyReply,
    events: AsyncGenerator<ServerEvent>,
    errorEvent: (error: ApiError) => ServerEvent,
  ): Promise<FastifyReply> {
    await sendEvents(reply, events, this.streams, (error) => {
      const told = apiErrorOf(error, apiOf(reply.request.url))
      if (told.status === 500) this.report(error)
      return errorEvent(told)
    })
    return reply
  }
}

/** The work of a request to a route that generates. */
export function workOf(request: FastifyRequest): Work {
  if (request.work === undefined) throw new Error(`the route ${request.url} is not marked as one that generates`)
  return request.work
}
