import { DeadlockError } from '../common/errors.js'
import type { WaitingCall } from '../protocol/actor.js'
import type { ConstructionService } from '../protocol/services.js'
import type { Semaphore } from '../runtime/semaphore.js'
import { randomId } from '../transport/connection-manager.js'
import { control } from '../transport/control.js'
import type { IncomingCall } from '../transport/incoming-call.js'

/** Milliseconds that no turn ends before the reason is looked for; twice as many after each time that found none. */
const FIRST_LOOK = 1000
const LAST_LOOK = 16_000

/** The watch of the semaphore that a call waits in, and its number there. */
const waiting = new WeakMap<IncomingCall, { readonly watch: DeadlockWatch; readonly number: number }>()

/**
 * Looks for circles of calls that wait for each other. A call that waits for a turn waits for all that have one; a call that
 * runs waits for each call that it awaits. A call that waits for itself in this way is never answered.
 */
export class DeadlockWatch {
  readonly id = randomId()
  readonly #waiting = new Map<number, IncomingCall>()
  #calls = 0
  #timer: NodeJS.Timeout | undefined
  #turns = 0
  #interval = FIRST_LOOK

  /** @param name the actor whose calls take their turns in the semaphore */
  constructor(
    readonly name: string,
    readonly semaphore: Semaphore,
  ) {}

  /** A call begins to wait for a turn. */
  waits(call: IncomingCall): void {
    const number = ++this.#calls
    this.#waiting.set(number, call)
    waiting.set(call, { watch: this, number })
    if (!this.#timer) {
      this.#interval = FIRST_LOOK
      this.#start()
    }
  }

  waitsNoMore(call: IncomingCall): void {
    const { number } = waiting.get(call)!
    waiting.delete(call)
    this.#waiting.delete(number)
    if (this.#waiting.size > 0) return
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /**
   * The paths on which the calls that have a turn wait for a call that waits for one, one path each; none if one of them may
   * go on.
   */
  async circles(path: readonly WaitingCall[]): Promise<WaitingCall[][]> {
    const { holders, running } = this.semaphore
    if (holders.size < running) return []
    const circles = await Promise.all([...holders].map((call) => circleOf(call, `${this.name}.${call.method}`, path)))
    return circles.every((circle) => circle !== undefined) ? circles : []
  }

  #start(): void {
    this.#turns = this.semaphore.turns
    this.#timer = setTimeout(() => void this.#look(), this.#interval)
    this.#timer.unref()
  }

  async #look(): Promise<void> {
    const timer = this.#timer
    if (this.semaphore.turns !== this.#turns) this.#interval = FIRST_LOOK
    else {
      const circles = await this.circles([{ label: '', semaphore: this.id }])
      for (const circle of circles) this.#report(circle)
      this.#interval = Math.min(2 * this.#interval, LAST_LOOK)
    }
    if (timer === this.#timer && this.#waiting.size > 0) this.#start()
  }

  /** Fails the call that closes a circle with this semaphore. */
  #report(circle: readonly WaitingCall[]): void {
    const last = circle.at(-1)!
    if (last.semaphore !== this.id) return
    const labels = circle.slice(1).map(({ label }) => label)
    this.#waiting.get(last.number!)?.fail(new DeadlockError(labels, this.name, this.semaphore.limit))
  }
}

/**
 * The path from a call to one that waits for a turn in a semaphore which is on the path already; undefined if the call may
 * go on.
 *
 * @param label the call's name in messages
 */
export async function circleOf(
  call: IncomingCall,
  label: string,
  path: readonly WaitingCall[],
): Promise<WaitingCall[] | undefined> {
  if (call.isSettled) return undefined
  const place = waiting.get(call)
  if (place) {
    const { watch, number } = place
    const longer = [...path, { label, semaphore: watch.id, number }]
    if (path.some(({ semaphore }) => semaphore === watch.id)) return longer
    const [circle] = await watch.circles(longer)
    return circle
  }
  for (const { isAwaited, sentTo } of call.nested) {
    if (!isAwaited || !sentTo) continue
    const { peer, request } = sentTo
    // A process that cannot be asked will be known to be lost.
    const circle = await control<ConstructionService>(peer)
      .circleOf(request, [...path, { label }])
      .catch(() => undefined)
    if (circle) return circle
  }
  return undefined
}
