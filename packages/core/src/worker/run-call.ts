import { ChannelReader } from '../channel/channel.js'
import { replyAcrossNodes } from '../runtime/remote-result-ref.js'
import type { Semaphore } from '../runtime/semaphore.js'
import type { IncomingCall } from '../transport/incoming-call.js'
import type { DeadlockWatch } from './deadlock-watch.js'

/** A call that is to be run. */
export interface Job {
  readonly call: IncomingCall
  /** The name of the result in errors. */
  readonly subject: string
  /** Whether the result is an array of several. */
  readonly isSeveral?: boolean
  readonly run: () => unknown
  /** Looks out for circles while the call waits for its turn. */
  readonly watch?: DeadlockWatch
}

/**
 * Runs a call when its turn has come, unless nobody waits for it any more, and answers it with a value or a stream. A call
 * that need not wait is answered at once; otherwise the returned promise resolves when the call has ended.
 */
export function runCall(job: Job, semaphore: Semaphore): Promise<void> | undefined {
  if (semaphore.tryEnter()) return runInTurn(job, semaphore)
  job.watch?.waits(job.call)
  return semaphore.enter().then(() => {
    job.watch?.waitsNoMore(job.call)
    return runInTurn(job, semaphore)
  })
}

/** Runs a call in a turn that was taken for it, and ends the turn. */
function runInTurn(job: Job, semaphore: Semaphore): Promise<void> | undefined {
  const { call } = job
  try {
    if (!call.isSettled) {
      const result = call.run(job.run)
      if (mayTakeTime(result)) return finish(job, semaphore, result)
      answer(job, result)
    }
  } catch (error) {
    call.fail(error)
  }
  semaphore.leave()
  return undefined
}

async function finish(job: Job, semaphore: Semaphore, result: unknown): Promise<void> {
  const { call, subject } = job
  let hasTurn = true
  semaphore.holders.add(call)
  let iterator: AsyncIterator<unknown> | undefined
  let isEnded = false
  try {
    const value = await result
    iterator = iteratorOf(value)
    if (!iterator) {
      answer(job, value)
      return
    }
    for (;;) {
      if (!call.hasCredit) {
        // A consumer that lags may itself be waiting for another call of this actor.
        semaphore.holders.delete(call)
        semaphore.leave()
        hasTurn = false
        await call.credited()
        await semaphore.enter()
        hasTurn = true
        semaphore.holders.add(call)
      }
      if (call.isCancelled) return
      // A generator that throws has ended by itself.
      isEnded = true
      const { done, value: item } = await call.run(() => iterator!.next())
      if (done) break
      isEnded = false
      call.item(item, subject.replace('the result', 'an item'))
    }
    call.end()
  } catch (error) {
    call.fail(error)
  } finally {
    if (iterator && !isEnded) await call.run(() => leaveEarly(iterator!))
    semaphore.holders.delete(call)
    if (hasTurn) semaphore.leave()
  }
}

/** Has a generator run its `finally` blocks. */
async function leaveEarly(iterator: AsyncIterator<unknown>): Promise<void> {
  try {
    await iterator.return?.()
  } catch (error) {
    // Nobody waits for it any more.
    console.error(error)
  }
}

function answer({ call, subject, isSeveral = false }: Job, value: unknown): void {
  if (call.peer.sameNode) call.reply(value, subject)
  else replyAcrossNodes(call, value, subject, isSeveral)
}

/** Whether a result is a promise or a generator. */
function mayTakeTime(result: unknown): boolean {
  if (typeof result !== 'object' || result === null) return false
  const { then, next, [Symbol.asyncIterator]: iterate } = result as Record<PropertyKey, unknown>
  return typeof then === 'function' || typeof next === 'function' || typeof iterate === 'function'
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
