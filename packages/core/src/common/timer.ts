import { Deferred } from './deferred.js'
import { InvalidInputError } from './errors.js'

/** The most milliseconds that a timer of Node waits; with more it fires at once. */
const MOST_MILLISECONDS = 2 ** 31 - 1

/** @throws InvalidInputError if a time is no number of milliseconds, or negative; Infinity is one */
export function checkTimeout(name: string, milliseconds: number): void {
  if (typeof milliseconds === 'number' && milliseconds >= 0) return
  throw new InvalidInputError(`${name} must be milliseconds, at least 0, or Infinity; found ${milliseconds}`)
}

/** Milliseconds of one turn of {@link afterTurns}. */
const TURN = 100

/**
 * Calls a function once the event loop has turned for some milliseconds, so that they pass only while this process can run and
 * take in what others send; finite ones only. Returns what calls that off.
 *
 * @param keepsAlive whether the process waits for it
 */
export function afterTurns(milliseconds: number, act: () => void, { keepsAlive = true } = {}): () => void {
  let timer: NodeJS.Timeout
  const wait = (rest: number) => {
    timer = setTimeout(() => setImmediate(turned, rest), Math.min(rest, TURN))
    if (!keepsAlive) timer.unref()
  }
  let isOff = false
  const turned = (rest: number) => {
    if (isOff) return
    if (rest > TURN) wait(rest - TURN)
    else act()
  }
  wait(milliseconds)
  return () => {
    isOff = true
    clearTimeout(timer)
  }
}

/** Calls a function after some milliseconds, never if they are Infinity. Returns what calls that off. */
export function after(milliseconds: number, act: () => void): () => void {
  if (milliseconds === Number.POSITIVE_INFINITY) return () => {}
  let timer: NodeJS.Timeout
  const wait = (rest: number) => {
    timer = setTimeout(
      () => (rest > MOST_MILLISECONDS ? wait(rest - MOST_MILLISECONDS) : act()),
      Math.min(rest, MOST_MILLISECONDS),
    )
  }
  wait(milliseconds)
  return () => clearTimeout(timer)
}

/** The result of {@link within} for a promise that took too long. */
export const LATE = Symbol('late')

/**
 * Resolves as a promise does, or with LATE after some milliseconds, which pass only while this process can run and take in
 * what others send. It keeps no process alive.
 */
export async function within<T>(promise: PromiseLike<T>, milliseconds: number): Promise<T | typeof LATE> {
  const late = new Deferred<typeof LATE>()
  const callOff = afterTurns(milliseconds, () => late.resolve(LATE), { keepsAlive: false })
  try {
    return await Promise.race([promise, late.promise])
  } finally {
    callOff()
  }
}
