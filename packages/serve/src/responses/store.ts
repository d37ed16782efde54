import type { ChatMessage } from '@troupe/llm'
import { ApiError } from '../http/api-error.js'

/** A response that can be asked for, and gone on from. */
export interface StoredResponse {
  body: { id: string }
  /** The chat, with the answer; without instructions, which are of one response only. */
  messages: readonly ChatMessage[]
}

/** The responses of a server, in memory: the newest that fit a bound. */
export class ResponseStore {
  readonly #responses = new Map<string, { response: StoredResponse; size: number }>()
  #size = 0

  /** @param most characters of JSON that are kept */
  constructor(private readonly most = 64 * 2 ** 20) {}

  /** Keeps a response; the oldest make room. */
  add(response: StoredResponse): void {
    const size = JSON.stringify(response).length
    if (size > this.most) return
    this.#responses.set(response.body.id, { response, size })
    this.#size += size
    for (const id of this.#responses.keys()) {
      if (this.#size <= this.most) break
      this.delete(id)
    }
  }

  /** @throws ApiError with the status, naming the field, if there is no such response any more. */
  get(id: string, status: number, param: string | null): StoredResponse {
    const found = this.#responses.get(id)
    if (found) return found.response
    const shown = JSON.stringify(id.slice(0, 100))
    const message = `no response ${shown} is kept here: it was not to be stored, or newer ones took its place`
    throw new ApiError(status, message, param === null ? 'not_found' : 'previous_response_not_found', param)
  }

  /** Forgets a response. */
  delete(id: string): void {
    this.#size -= this.#responses.get(id)?.size ?? 0
    this.#responses.delete(id)
  }
}
