/** Where this file and its neighbours are, or their sources in stacks that are mapped: their frames say nothing to a caller. */
const own = ['api', 'runtime']
  .map((folder) => new URL(`../${folder}/`, import.meta.url).pathname)
  .flatMap((path) => [path, path.replace(/\/dist\/(?=\w+\/$)/, '/src/')])

/** Noting a stack costs microseconds, more than the rest of a call. So of calls in quick succession only some are noted. */
const MOST_AT_ONCE = 16
/** Milliseconds after which one more stack may be noted. */
const REFILL_INTERVAL = 0.05

let allowance = MOST_AT_ONCE
let refilled = 0

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
