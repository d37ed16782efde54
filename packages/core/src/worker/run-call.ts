import { ChannelReader } from '../channel/channel.js'
import { within } from '../runtime/current-call.js'
import type { IncomingCall } from '../transport/incoming-call.js'
import type { Lane } from './lane.js'

/** Runs a call when its turn has come, unless nobody waits for it any more, and answers it with a value or a stream. */
export async function runCall(call: IncomingCall, lane: Lane, subject: string, run: () => unknown): Promise<void> {
  let turn = await lane.acquire()
  try {
    if (call.isCancelled) return
    const result = await within(call, run)
    const iterator = iteratorOf(result)
    if (!iterator) {
      call.reply(result, subject)
      return
    }
    for (;;) {
      if (!call.hasCredit) {
        // A consumer that lags may itself be waiting for another call of this actor.
        turn()
        await call.credited()
        turn = await lane.acquire()
      }
      if (call.isCancelled) {
        await within(call, () => iterator.return?.())
        return
      }
      const { done, value } = await within(call, () => iterator.next())
      if (done) break
      call.item(value, subject.replace('the result', 'an item'))
    }
    call.end()
  } catch (error) {
    call.fail(error)
  } finally {
    turn()
  }
}

type AnyIterator = { next(): unknown; return?(): unknown } & Record<symbol, unknown>

/** The iterator of what a generator returned; undefined for other values. */
function iteratorOf(value: unknown): AsyncIterator<unknown> | undefined {
  if (typeof value !== 'object' || value === null || value instanceof ChannelReader) return undefined
  const candidate = value as AnyIterator
  const asynchronous = candidate[Symbol.asyncIterator]
  if (typeof asynchronous === 'function') return asynchronous.call(value)
  const isGenerator = typeof candidate.next === 'function' && typeof candidate[Symbol.iterator] === 'function'
  return isGenerator ? (value as AsyncIterator<unknown>) : undefined
}
