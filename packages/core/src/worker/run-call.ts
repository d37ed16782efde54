import { within } from '../runtime/current-call.js'
import type { IncomingCall } from '../transport/incoming-call.js'
import type { Lane } from './lane.js'

/**
 * Runs a call when its turn has come, unless nobody waits for it any more, and answers it with a value or a stream. What
 * need not wait is answered at once; otherwise the returned promise resolves when the call has ended.
 */
export function runCall(
  call: IncomingCall,
  lane: Lane,
  subject: string,
  run: () => unknown,
): Promise<void> | undefined {
  if (lane.tryEnter()) return runInTurn(call, lane, subject, run)
  return lane.enter().then(() => runInTurn(call, lane, subject, run))
}

/** Runs a call in a turn that was taken for it, and ends the turn. */
function runInTurn(call: IncomingCall, lane: Lane, subject: string, run: () => unknown): Promise<void> | undefined {
  try {
    const result = call.isCancelled ? undefined : within(call, run)
    if (typeof result === 'object' && result !== null && (isThenable(result) || iteratorOf(result))) {
      return finish(call, lane, subject, result)
    }
    call.reply(result, subject)
  } catch (error) {
    call.fail(error)
  }
  lane.leave()
  return undefined
}

async function finish(call: IncomingCall, lane: Lane, subject: string, result: unknown): Promise<void> {
  let hasTurn = true
  try {
    const value = await result
    const iterator = iteratorOf(value)
    if (!iterator) {
      call.reply(value, subject)
      return
    }
    for (;;) {
      if (!call.hasCredit) {
        // A consumer that lags may itself be waiting for another call of this actor.
        lane.leave()
        hasTurn = false
        await call.credited()
        await lane.enter()
        hasTurn = true
      }
      if (call.isCancelled) {
        await within(call, () => iterator.return?.())
        return
      }
      const { done, value: item } = await within(call, () => iterator.next())
      if (done) break
      call.item(item, subject.replace('the result', 'an item'))
    }
    call.end()
  } catch (error) {
    call.fail(error)
  } finally {
    if (hasTurn) lane.leave()
  }
}

type AnyIterator = { next(): unknown; return?(): unknown } & Record<symbol, unknown>

function isThenable(value: object): boolean {
  return typeof (value as { then?: unknown }).then === 'function'
}

/** The iterator of what a generator returned; undefined for other values. */
function iteratorOf(value: unknown): AsyncIterator<unknown> | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const candidate = value as AnyIterator
  const asynchronous = candidate[Symbol.asyncIterator]
  if (typeof asynchronous === 'function') return asynchronous.call(value)
  const isGenerator = typeof candidate.next === 'function' && typeof candidate[Symbol.iterator] === 'function'
  return isGenerator ? (value as AsyncIterator<unknown>) : undefined
}
