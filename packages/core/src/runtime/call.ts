import { debuglog } from 'node:util'
import { onAbort } from '../common/abort-listeners.js'
import { CancelledError, DeadlineExceededError, InvalidInputError } from '../common/errors.js'
import { after } from '../common/timer.js'
import type { AnswerHandler } from '../transport/handlers.js'
import { IncomingCall, type NestedCall } from '../transport/incoming-call.js'
import type { LinkLostError } from '../transport/link.js'
import type { Peer } from '../transport/peer.js'
import { STREAM_WINDOW } from '../transport/wire.js'
import type { CallOptions } from './call-options.js'
import { ObjectRef, type RefSource } from './ref.js'
import { RemoteRefState, type RemoteValue } from './remote-ref-state.js'
import { RemoteResultRef } from './remote-result-ref.js'
import { addUnawaited, removeUnawaited, type UnawaitedFailure } from './unawaited-failures.js'

const debug = debuglog('troupe')

/**
 * The folders of this file and its neighbours, of their sources in stacks that are mapped, and of the bundle: frames in them say
 * nothing to a caller.
 */
const own = ['dist/api/', 'dist/runtime/', 'src/api/', 'src/runtime/', 'bundle/'].map(
  (folder) => new URL(`../../${folder}`, import.meta.url).pathname,
)

/** Noting a stack costs microseconds, more than the rest of a call. So of calls in quick succession only some are noted. */
const MOST_AT_ONCE = 16
/** Milliseconds after which one more stack may be noted. */
const REFILL_INTERVAL = 0.05

let allowance = MOST_AT_ONCE
let refilled = 0

/** A failure that nobody awaits is no unhandled rejection: it may still be awaited. */
const ignore = () => {}

/** The part of a call's sender that the call needs. */
export interface CallOwner {
  /** The connection broke before the answer: calls the call's `failure`, or sends it again. */
  lost(call: Call, error: LinkLostError, peer: Peer): void
  /** The call's result stays with the process that computed it; undefined if the ref is to give it as it is. */
  adopt(call: Call, held: RemoteResultRef): RemoteValue | undefined
  /** The call has its final outcome. */
  settled(call: Call): void
  /** The call failed, and somebody has learned of that. */
  noticed?(error: unknown): void
}

/** A reader that waits for the next item of a stream. */
interface Reader {
  readonly resolve: (result: IteratorResult<unknown>) => void
  readonly reject: (error: unknown) => void
}

/** One remote call, from the caller's side: settles the ref, or feeds whoever iterates it. */
export class Call implements AnswerHandler, RefSource, NestedCall {
  readonly ref: ObjectRef<unknown>
  #resolve!: (value: unknown) => void
  #reject!: (error: unknown) => void
  #sent: { peer: Peer; request: number } | undefined
  #outcome: 'pending' | 'value' | 'stream' | 'ended' | 'failed' | 'abandoned' = 'pending'
  #error: unknown
  readonly #items: unknown[] = []
  #taken = 0
  #isIterated = false
  /** The readers of items that have not come yet, in order. */
  readonly #readers: Reader[] = []
  /** Whether somebody has done something with the ref. */
  #isUsed = false
  #unawaited: UnawaitedFailure | undefined
  #unbind: (() => void) | undefined
  /** The call whose code made this one. */
  readonly #parent: IncomingCall | undefined
  #isAwaited = false

  /**
   * @param label the call's name in messages: `Counter#1.add`
   * @param origin carries the caller's stack, where it was noted
   */
  constructor(
    id: string,
    readonly label: string,
    private readonly origin: Error | undefined,
    private readonly owner: CallOwner,
    { signal, deadline }: CallOptions = {},
  ) {
    this.ref = new ObjectRef<unknown>(
      (resolve, reject) => {
        this.#resolve = resolve
        this.#reject = reject
      },
      id,
      this,
    )
    this.ref.quietly(ignore)
    this.#parent = IncomingCall.running
    this.#parent?.nested.add(this)
    if (signal || deadline !== undefined) this.#bind(signal, deadline)
  }

  /** Whether nobody waits for this call any more. */
  get isSettled(): boolean {
    return this.#outcome !== 'pending' && this.#outcome !== 'stream'
  }

  /** Whether the call ended by being given up, while it may still run. */
  get isCancelled(): boolean {
    return this.#outcome === 'abandoned' || this.#error instanceof CancelledError
  }

  get sentTo(): { readonly peer: Peer; readonly request: number } | undefined {
    return this.#sent
  }

  /**
   * Whether code waits for the outcome: by `await`, which hands over functions of the engine. Code that gave functions to
   * call later goes on meanwhile.
   */
  get isAwaited(): boolean {
    return this.#isAwaited || this.#readers.length > 0
  }

  awaited(fulfilled: unknown): void {
    if (!this.#parent || this.#isAwaited || typeof fulfilled !== 'function') return
    this.#isAwaited = Function.prototype.toString.call(fulfilled).includes('[native code]')
  }

  /** Whether some of a stream has come in already, so that the call cannot begin anew. */
  get isStreaming(): boolean {
    return this.#outcome === 'stream'
  }

  /** Called when the request has left, with its number on that connection. */
  sent(peer: Peer, request: number): void {
    this.#sent = { peer, request }
    if (this.isSettled) peer.cancel(request)
  }

  /** Fails the call for its caller; if it has not started it never will, and if it runs its signal is aborted. */
  cancel(reason?: unknown): void {
    if (this.isSettled) return
    const error = reason instanceof CancelledError ? reason : this.#cancelled(reason)
    const sent = this.#sent
    this.failure(error)
    sent?.peer.cancel(sent.request)
  }

  result(value: unknown): void {
    if (this.isSettled) return
    this.#outcome = 'value'
    if (value instanceof RemoteResultRef) this.#held(value)
    else this.#resolve(value)
    this.#settled()
  }

  failure(error: unknown): void {
    if (this.isSettled) return
    if (error instanceof Error) addOrigin(error, this.label, this.origin)
    debug('%s failed: %s', this.label, error)
    this.#outcome = 'failed'
    this.#error = error
    this.#reject(error)
    this.#settled()
    if (this.ref.isWanted || this.#isIterated) this.owner.noticed?.(error)
    if (this.#isUsed) return
    this.#unawaited = { label: this.label, error }
    addUnawaited(this.ref, this.#unawaited)
  }

  wanted(): void {
    this.used()
    if (this.#outcome === 'failed') this.owner.noticed?.(this.#error)
  }

  asked(): void {
    this.used()
  }

  freed(): void {
    this.used()
  }

  used(): void {
    this.#isUsed = true
    if (this.#unawaited) removeUnawaited(this.#unawaited)
  }

  item(value: unknown): void {
    if (!this.#stream('stream')) return
    const reader = this.#readers.shift()
    if (!reader) {
      this.#items.push(value)
      return
    }
    this.#acknowledge()
    reader.resolve({ done: false, value })
  }

  end(): void {
    if (this.#stream('ended')) this.#settled()
  }

  lost(error: LinkLostError): void {
    const sent = this.#sent
    this.#sent = undefined
    if (sent && !this.isSettled) this.owner.lost(this, error, sent.peer)
  }

  #bind(signal: AbortSignal | undefined, deadline: number | undefined): void {
    const abort = () => this.cancel(signal?.reason)
    const late = () => this.cancel(new DeadlineExceededError(`${this.label} was not answered within ${deadline} ms`))
    const stopTimer = deadline === undefined ? undefined : after(deadline, late)
    const stopListening = signal && onAbort(signal, abort)
    this.#unbind = () => {
      stopTimer?.()
      stopListening?.()
    }
    if (signal?.aborted) abort()
  }

  #held(held: RemoteResultRef): void {
    const remote = this.owner.adopt(this, held)
    if (remote) this.ref.locate(new RemoteRefState(remote, this.#resolve, this.#reject))
    else this.#resolve(held)
  }

  #cancelled(reason: unknown): CancelledError {
    const why = reason instanceof Error && reason.name !== 'AbortError' ? `: ${reason.message}` : ''
    return new CancelledError(`${this.label} was cancelled${why}`, reason === undefined ? {} : { cause: reason })
  }

  #settled(): void {
    this.#unbind?.()
    this.#parent?.nested.delete(this)
    for (const reader of this.#readers.splice(0)) this.#end(reader)
    this.owner.settled(this)
  }

  #stream(outcome: 'stream' | 'ended'): boolean {
    if (this.isSettled) return false
    if (this.#outcome === 'pending') {
      this.#reject(new InvalidInputError(`${this.label} returns a stream: read it with for await, do not await it`))
    }
    this.#outcome = outcome
    return true
  }

  /** The items of a stream; each can be read once. */
  iterate(): AsyncIterator<unknown> {
    this.#isIterated = true
    this.used()
    if (this.#outcome === 'failed') this.wanted()
    return {
      next: () =>
        new Promise((resolve, reject) => {
          if (this.#items.length > 0) {
            const value = this.#items.shift()
            this.#acknowledge()
            resolve({ done: false, value })
          } else if (this.isSettled) this.#end({ resolve, reject })
          else this.#readers.push({ resolve, reject })
        }),
      return: async () => {
        this.#abandon()
        return { done: true, value: undefined }
      },
    }
  }

  /** Tells who reads the stream that it has ended, and how. */
  #end({ resolve, reject }: Reader): void {
    if (this.#outcome === 'failed') reject(this.#error)
    else if (this.#outcome === 'value') {
      reject(new InvalidInputError(`${this.label} returns one value, not a stream: await it`))
    } else resolve({ done: true, value: undefined })
  }

  /** Credit is given back in halves of the window, so that the producer does not wait and few messages are sent. */
  #acknowledge(): void {
    this.#taken += 1
    if (this.#taken < STREAM_WINDOW / 2 || this.#outcome !== 'stream' || !this.#sent) return
    this.#sent.peer.credit(this.#sent.request, this.#taken)
    this.#taken = 0
  }

  #abandon(): void {
    const isRunning = !this.isSettled
    this.#items.length = 0
    if (!isRunning) return
    this.#outcome = 'abandoned'
    if (this.#sent) this.#sent.peer.cancel(this.#sent.request)
    this.#settled()
  }
}

/**
 * Notes where a remote call is made; the stack is only written out when it is needed. Undefined for most of the calls that
 * are made by the thousand at once.
 */
export function callerOf(): Error | undefined {
  const now = performance.now()
  allowance = Math.min(allowance + (now - refilled) / REFILL_INTERVAL, MOST_AT_ONCE)
  refilled = now
  if (allowance < 1) return undefined
  allowance -= 1
  const origin = {} as Error
  Error.captureStackTrace(origin, callerOf)
  return origin
}

/** Adds to an error from another process where in this one it was called from, as far as that was noted. */
export function addOrigin(error: Error, label: string, origin: Error | undefined): void {
  const frames = (origin?.stack ?? '').split('\n').slice(1)
  const foreign = frames.filter((frame) => frame.includes('.test.') || !own.some((folder) => frame.includes(folder)))
  const heading = foreign.length > 0 ? `  called as ${label} from` : `  called as ${label}`
  error.stack = [error.stack ?? String(error), heading, ...foreign].join('\n')
}
