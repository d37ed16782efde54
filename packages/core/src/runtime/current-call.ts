import { AsyncLocalStorage } from 'node:async_hooks'
import type { IncomingCall } from '../transport/incoming-call.js'

/** The call that the code asking is part of. */
export interface CurrentCall {
  readonly method: string
  /** Aborted when the caller cancelled the call, its deadline passed, or the caller has gone. */
  readonly signal: AbortSignal
}

const calls = new AsyncLocalStorage<IncomingCall>()

/**
 * The call that this code runs in; undefined outside of one.
 *
 * @example
 * ```ts
 * async download(url: string) {
 *   const response = await fetch(url, { signal: currentCall()!.signal })
 *   return response.text()
 * }
 * ```
 */
export function currentCall(): CurrentCall | undefined {
  const call = calls.getStore()
  return (
    call && {
      method: call.method,
      get signal() {
        return call.signal
      },
    }
  )
}

/** The request that this code serves; undefined outside of one. */
export function runningCall(): IncomingCall | undefined {
  return calls.getStore()
}

/** Runs a function as part of a call. */
export function within<T>(call: IncomingCall, run: () => T): T {
  return calls.run(call, run)
}
