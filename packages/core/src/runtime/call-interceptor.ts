import type { ActorClient } from './actor-client.js'

/** Takes the calls that a function makes instead of their being sent, as who traces a graph does. */
export interface CallInterceptor {
  call(actor: ActorClient, method: string, args: unknown[]): unknown
}

let current: CallInterceptor | undefined

/** Who takes the calls that are made now, if anybody does. */
export function callInterceptor(): CallInterceptor | undefined {
  return current
}

/** Runs a function whose calls are taken by an interceptor. */
export function intercepting<T>(interceptor: CallInterceptor, run: () => T): T {
  const before = current
  current = interceptor
  try {
    return run()
  } finally {
    current = before
  }
}
