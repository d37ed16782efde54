import { ObjectLostError } from '../common/errors.js'
import type { Location } from '../protocol/location.js'
import { LinkLostError } from '../transport/link.js'

/** A value in another process. */
export interface RemoteValue {
  /** The place of the value now. */
  readonly location: Location
  /** Whether it is known to be lost there. */
  readonly isLost: boolean
  /** Brings the value over; what it throws {@link isLoss} tells from other failures. */
  fetch(): Promise<unknown>
  /** The value was lost: has it again, here or at another location; throws if that cannot be. */
  recover(): Promise<{ readonly value: unknown } | undefined>
  /** The value has come over, and need not be recovered any more. */
  arrived(): void
  /** Nobody needs the value any more. */
  free(): void
}

/** Whether an error says that a value is not where it was. */
export function isLoss(error: unknown): boolean {
  return error instanceof LinkLostError || error instanceof ObjectLostError
}

/** The fate of a ref's value that lives in another process: brought over where it is wanted, recovered where it is lost. */
export class RemoteRefState {
  #state: 'away' | 'here' | 'failed' = 'away'
  #bringing: Promise<void> | undefined
  #recovering: Promise<void> | undefined
  readonly #remote: RemoteValue
  readonly #resolve: (value: unknown) => void
  readonly #reject: (error: unknown) => void

  /** @param resolve settles the ref when the value has come over; `reject` when it cannot be had */
  constructor(remote: RemoteValue, resolve: (value: unknown) => void, reject: (error: unknown) => void) {
    this.#remote = remote
    this.#resolve = resolve
    this.#reject = reject
  }

  /** Whether the value has come over. */
  get isHere(): boolean {
    return this.#state === 'here'
  }

  /** Brings the value over and settles the ref; never rejects. */
  bring(): Promise<void> {
    this.#bringing ??= this.#bring()
    return this.#bringing
  }

  /**
   * The place where other processes can fetch the value, once it has been recovered if it was lost; undefined if the ref has
   * settled and they must have it from here.
   *
   * @param lost a process where they could not reach it
   */
  async location(lost?: string): Promise<Location | undefined> {
    for (;;) {
      const { location, isLost } = this.#remote
      const isReachable = !isLost && location.holder.processId !== lost
      if (this.#state === 'failed' || (this.#state === 'here' && !isReachable)) return undefined
      if (isReachable) return location
      if (isLost || !(await this.#fetch())) await this.#recover(location)
    }
  }

  free(): void {
    this.#remote.free()
  }

  async #bring(): Promise<void> {
    while (this.#state === 'away') {
      const { location } = this.#remote
      if (!(await this.#fetch())) await this.#recover(location)
    }
  }

  /** Tries to bring the value over from where it is; returns whether the ref has settled. */
  async #fetch(): Promise<boolean> {
    try {
      this.#settle(await this.#remote.fetch())
    } catch (error) {
      if (isLoss(error)) return false
      this.#fail(error)
    }
    return true
  }

  /** Has the value again, unless somebody has seen to that since it was found to be lost. */
  async #recover(lost: Location): Promise<void> {
    if (this.#state !== 'away' || this.#remote.location !== lost) return
    this.#recovering ??= this.#recoverOnce().finally(() => {
      this.#recovering = undefined
    })
    await this.#recovering
  }

  async #recoverOnce(): Promise<void> {
    try {
      const found = await this.#remote.recover()
      if (found) this.#settle(found.value)
    } catch (error) {
      this.#fail(error)
    }
  }

  #settle(value: unknown): void {
    if (this.#state !== 'away') return
    this.#state = 'here'
    this.#resolve(value)
    this.#remote.arrived()
  }

  #fail(error: unknown): void {
    if (this.#state !== 'away') return
    this.#state = 'failed'
    this.#reject(error)
    this.#remote.free()
  }
}
