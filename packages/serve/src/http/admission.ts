import type { ServerResponse } from 'node:http'
import { ApiError } from './api-error.js'

/** A request that has been let in. */
export interface Work {
  /** Aborted when the response is closed, which it is also when the client leaves, and when the server ends. */
  readonly signal: AbortSignal
  /** When it came, in milliseconds of `performance.now()`. */
  readonly began: number
}

/** Lets in as many requests at once as the bound says, and none when the server is about to end. */
export class Admission {
  readonly #under = new Set<AbortController>()
  #idle: (() => void) | undefined
  #isDraining = false

  /** @param most requests at once */
  constructor(private readonly most: number) {}

  /** How many requests are under way. */
  get count(): number {
    return this.#under.size
  }

  /** Whether the server is about to end. */
  get isDraining(): boolean {
    return this.#isDraining
  }

  /** @throws ApiError with status 503 when the server is about to end. */
  checkOpen(): void {
    if (!this.#isDraining) return
    const headers = { 'retry-after': '5', connection: 'close' }
    throw new ApiError(503, 'the server is about to end and takes no new requests', 'unavailable', null, headers)
  }

  /**
   * Lets a request in, until its response is closed.
   * @throws ApiError with status 429 past the bound, or 503 when the server is about to end.
   */
  enter(response: ServerResponse): Work {
    this.checkOpen()
    if (this.#under.size >= this.most) {
      const message = `the server works on ${this.most} requests, the most it takes at once; try again later`
      throw new ApiError(429, message, 'rate_limit_exceeded', null, { 'retry-after': '1' })
    }
    const controller = new AbortController()
    this.#under.add(controller)
    response.once('close', () => {
      this.#under.delete(controller)
      // Also when the answer is complete: what is still computed for it then has no reader.
      controller.abort(new ApiError(499, 'the client has left', 'client_closed_request'))
      if (this.#under.size === 0) this.#idle?.()
    })
    return { signal: controller.signal, began: performance.now() }
  }

  /** Takes no new requests; gives those that are under way some milliseconds to end, then aborts them. */
  async drain(milliseconds: number): Promise<void> {
    this.#isDraining = true
    if (this.#under.size === 0) return
    let timer: NodeJS.Timeout | undefined
    const idle = new Promise<void>((resolve) => {
      this.#idle = resolve
      timer = setTimeout(resolve, milliseconds)
    })
    await idle
    clearTimeout(timer)
    for (const controller of this.#under) {
      controller.abort(new ApiError(503, 'the server has ended before the answer was complete', 'unavailable'))
    }
  }
}
