import { encode } from './codec.js'
import type { IncomingCall } from './incoming-call.js'
import type { Peer } from './peer.js'

/** Methods of one process that another may call; the protocols of the cluster are interfaces of them. */
type Protocol<T> = { [K in keyof T]: T[K] extends (...args: infer A) => infer R ? (...args: A) => R : never }

/** The caller's side of a protocol: each method sends a request, and rejects with a LinkLostError if it is lost. */
export type Remote<T> = {
  [K in keyof T]: T[K] extends (...args: infer A) => infer R ? (...args: A) => Promise<Awaited<R>> : never
}

/** Calls methods that the process at the other end serves with {@link serve}. */
export function control<T extends Protocol<T>>(peer: Peer): Remote<T> {
  return new Proxy({} as Remote<T>, {
    get:
      (_, method: string) =>
      (...args: unknown[]) =>
        new Promise((resolve, reject) => {
          peer.request(
            { target: '', method, args: encode(args, 'arguments', peer.sameNode) },
            { result: resolve, failure: reject, item() {}, end: () => resolve(undefined), lost: reject },
          )
        }),
  })
}

/**
 * Answers a request with a method of an object; only functions that are its own properties are reachable. Sends what a
 * generator method yields as a stream.
 */
export async function serve(methods: object, call: IncomingCall): Promise<void> {
  try {
    const method = Object.hasOwn(methods, call.method) && (methods as Record<string, unknown>)[call.method]
    if (typeof method !== 'function') throw new TypeError(`there is no request named ${call.method}`)
    const result = await method(...call.args)
    if (typeof result?.[Symbol.asyncIterator] === 'function') await stream(call, result)
    else call.reply(result)
  } catch (error) {
    call.fail(error)
  }
}

async function stream(call: IncomingCall, items: AsyncIterable<unknown>): Promise<void> {
  for await (const item of items) {
    await call.credited()
    if (call.isCancelled) return
    call.item(item)
  }
  call.end()
}
