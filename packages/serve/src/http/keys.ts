import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { ApiError } from './api-error.js'

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** Checks the keys that clients give, in a time that does not depend on how much of one is right. */
export class KeyCheck {
  readonly #digests: readonly Buffer[]

  /** @param keys those that are accepted; none for no check */
  constructor(keys: readonly string[]) {
    this.#digests = keys.map(digest)
  }

  /** @throws ApiError with status 401 unless the request has one of the keys, as `Authorization: Bearer` or `x-api-key`. */
  check({ headers }: FastifyRequest): void {
    if (this.#digests.length === 0) return
    const bearer = /^Bearer +(.+)$/i.exec(headers.authorization ?? '')?.[1]
    const given = bearer ?? headers['x-api-key']
    if (typeof given !== 'string') {
      throw new ApiError(401, 'expected a key, as Authorization: Bearer KEY or x-api-key: KEY', 'invalid_api_key')
    }
    const found = digest(given.trim())
    let isKnown = false
    for (const known of this.#digests) isKnown = timingSafeEqual(known, found) || isKnown
    if (!isKnown) throw new ApiError(401, 'the key is not one that this server accepts', 'invalid_api_key')
  }
}
