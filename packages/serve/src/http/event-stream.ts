import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { FastifyReply } from 'fastify'

/** A server-sent event; data that is no text is sent as JSON. */
export interface ServerEvent {
  event?: string
  data: unknown
}

/** The bounds of a stream. */
export interface EventStreamOptions {
  /** Milliseconds without an event after which a comment is sent, so that nothing between takes the connection for dead. */
  heartbeat: number
  /** Milliseconds that a client may take to read what is waiting for it before it is taken for gone. */
  stall: number
}

/** Server-sent events to one client: each is flushed, and a client that does not read holds back who sends. */
class EventStream {
  readonly #response: ServerResponse
  readonly #heartbeat: NodeJS.Timeout

  constructor(
    reply: FastifyReply,
    private readonly options: EventStreamOptions,
  ) {
    reply.hijack()
    this.#response = reply.raw
    this.#response.on('error', () => {})
    this.#response.writeHead(200, {
      ...(reply.getHeaders() as Record<string, string>),
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
    })
    this.#response.flushHeaders()
    this.#heartbeat = setInterval(() => {
      if (!this.#response.writableNeedDrain) this.#response.write(': keep-alive\n\n')
    }, options.heartbeat)
  }

  /** Resolves when the client has room for more. */
  async send({ event, data }: ServerEvent): Promise<void> {
    if (this.#response.destroyed) return
    this.#heartbeat.refresh()
    const text = typeof data === 'string' ? data : JSON.stringify(data)
    if (this.#response.write(`${event === undefined ? '' : `event: ${event}\n`}data: ${text}\n\n`)) return
    await this.#drained()
  }

  end(): void {
    clearInterval(this.#heartbeat)
    this.#response.end()
  }

  async #drained(): Promise<void> {
    const response = this.#response
    const timer = setTimeout(() => response.destroy(), this.options.stall)
    const over = new AbortController()
    const { signal } = over
    try {
      await Promise.race([once(response, 'drain', { signal }), once(response, 'close', { signal })])
    } finally {
      clearTimeout(timer)
      over.abort()
    }
  }
}

/**
 * Answers with events as they come.
 * @param errorEvent what is sent of an error when the status has been sent already
 * @throws whatever the events throw before the first of them, so that it becomes a status
 */
export async function sendEvents(
  reply: FastifyReply,
  events: AsyncGenerator<ServerEvent>,
  options: EventStreamOptions,
  errorEvent: (error: unknown) => ServerEvent,
): Promise<void> {
  let next = events.next()
  await settledWithin(next, options.heartbeat)
  const stream = new EventStream(reply, options)
  try {
    for (let item = await next; !item.done; item = await next) {
      await stream.send(item.value)
      next = events.next()
    }
  } catch (error) {
    await stream.send(errorEvent(error))
  } finally {
    stream.end()
  }
}

/** Waits for a promise, but not longer than so many milliseconds; throws what it is rejected with meanwhile. */
async function settledWithin(promise: Promise<unknown>, milliseconds: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds)
  })
  try {
    await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
