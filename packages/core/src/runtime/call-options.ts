import { InvalidInputError } from '../common/errors.js'

/** Options of one call. */
export interface CallOptions {
  /** Cancels the call when it is aborted. The method sees that through `currentCall().signal`. */
  readonly signal?: AbortSignal
  /** Milliseconds from now within which the call must be answered; after them it is cancelled. */
  readonly deadline?: number
  /**
   * The number of times that a call which was lost with its actor is made again once the actor has come back; the actor's
   * own by default.
   */
  readonly maxRetries?: number
}

/** @throws InvalidInputError if an option is out of range */
export function checkCallOptions({ deadline, maxRetries }: CallOptions): void {
  if (deadline !== undefined && !(deadline > 0 && deadline < 2 ** 31)) {
    throw new InvalidInputError(`deadline must be a positive number of milliseconds below 2^31, found ${deadline}`)
  }
  if (maxRetries !== undefined) checkCount('maxRetries', maxRetries, 0)
}

/** @throws InvalidInputError if the value is neither a whole number of at least `least` nor Infinity */
export function checkCount(name: string, value: number, least: number): void {
  if (value === Number.POSITIVE_INFINITY || (Number.isSafeInteger(value) && value >= least)) return
  throw new InvalidInputError(`${name} must be an integer of at least ${least}, or Infinity; found ${value}`)
}
