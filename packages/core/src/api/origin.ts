/** Where this file and its neighbours are, or their sources in stacks that are mapped: their frames say nothing to a caller. */
const own = ['api', 'runtime']
  .map((folder) => new URL(`../${folder}/`, import.meta.url).pathname)
  .flatMap((path) => [path, path.replace(/\/dist\/(?=\w+\/$)/, '/src/')])

/** Notes where a remote call is made; the stack is only written out when it is needed. */
export function callerOf(): Error {
  const origin = {} as Error
  Error.captureStackTrace(origin, callerOf)
  return origin
}

/** Adds to an error from another process where in this one it was called from. */
export function addOrigin(error: Error, label: string, origin: Error): void {
  const frames = (origin.stack ?? '').split('\n').slice(1)
  const foreign = frames.filter((frame) => frame.includes('.test.') || !own.some((folder) => frame.includes(folder)))
  error.stack = [error.stack ?? String(error), `  called as ${label} from`, ...foreign].join('\n')
}
