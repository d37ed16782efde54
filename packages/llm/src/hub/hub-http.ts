import { setTimeout as sleep } from 'node:timers/promises'
import type { Dispatcher, Response } from 'undici'
import { HubStatusError, isUnreachable } from './hub-errors.js'
import type { HubSettings } from './settings.js'

const TRIES = 5
const FIRST_PAUSE = 250
const LONGEST_PAUSE = 60_000

/** Requests to the hub: through the proxy that the environment names, with the token for the hub alone, again when that may help. */
export class HubHttp {
  #library: Promise<{ undici: typeof import('undici'); dispatcher: Dispatcher }> | undefined

  readonly #end = new AbortController()
  readonly #signal: AbortSignal

  constructor(
    readonly settings: HubSettings,
    signal?: AbortSignal,
  ) {
    this.#signal = AbortSignal.any([this.#end.signal, ...(signal ? [signal] : [])])
  }

  /** For a library that takes a function in place of `fetch`. */
  readonly fetch = ((url: unknown, init?: { headers?: Record<string, string> }) =>
    this.insist(() => this.get(String(url), init?.headers))) as unknown as typeof globalThis.fetch

  /** Does something again, after a pause, while the network or a hub that is busy keeps it from being done. */
  async insist<T>(attempt: () => Promise<T>, hasProgressed: () => boolean = () => false): Promise<T> {
    for (let failures = 0; ; ) {
      try {
        return await attempt()
      } catch (error) {
        failures = hasProgressed() ? 1 : failures + 1
        if (failures >= TRIES || !isUnreachable(error)) throw error
        await sleep(pauseAfter(error, failures), undefined, { signal: this.#signal })
      }
    }
  }

  /** @throws HubStatusError for an answer that is none; what the network throws. */
  async get(url: string, headers: Record<string, string> = {}): Promise<Response> {
    this.#library ??= load()
    const { undici, dispatcher } = await this.#library
    const isHub = new URL(url).origin === new URL(this.settings.endpoint).origin
    const token = isHub && this.settings.token ? { authorization: `Bearer ${this.settings.token}` } : {}
    const response = await undici.fetch(url, {
      dispatcher,
      headers: { 'user-agent': 'troupe', ...headers, ...token },
      signal: this.#signal,
    })
    if (response.ok || response.status === 416) return response
    await response.body?.cancel()
    throw new WaitingError(response)
  }

  /** Ends all requests. */
  async close(): Promise<void> {
    this.#end.abort()
    await (await this.#library)?.dispatcher.destroy()
  }
}

/** An answer that says no, and perhaps when to ask again. */
class WaitingError extends HubStatusError {
  /** Milliseconds. */
  readonly retryAfter: number

  constructor({ status, headers }: Response) {
    super(status, headers.get('x-error-code') ?? '')
    this.retryAfter = Number(headers.get('retry-after')) * 1000 || 0
  }
}

function pauseAfter(error: unknown, failures: number): number {
  const asked = error instanceof WaitingError ? error.retryAfter : 0
  return Math.min(LONGEST_PAUSE, Math.max(asked, FIRST_PAUSE * 2 ** (failures - 1)))
}

async function load() {
  const undici = await import('undici')
  return { undici, dispatcher: new undici.EnvHttpProxyAgent({ connect: { timeout: 10_000 }, bodyTimeout: 60_000 }) }
}
