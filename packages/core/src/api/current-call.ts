import { IncomingCall } from '../transport/incoming-call.js'

/** The call that the code asking is part of. */
export interface CurrentCall {
  readonly method: string
  /** Aborted when the caller cancelled the call, its deadline passed, or the caller has gone. */
  readonly signal: AbortSignal
}

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
  const call = IncomingCall.running
  return (
    call && {
      method: call.method,
      get signal() {
        return call.signal
      },
    }
  )
}
