import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { isMainThread } from 'node:worker_threads'

/**
 * Whether a module is the program that was started, and was not imported: by a worker for an actor in it, or by a test.
 *
 * @param module `import.meta` of the module that asks
 * @example
 * ```ts
 * export const RemoteCounter = actor(import.meta.url, Counter)
 *
 * if (isMain(import.meta)) {
 *   await using cluster = await connect()
 *   console.log(await (await RemoteCounter.spawn()).add(5))
 * }
 * ```
 */
export function isMain(module: { readonly url: string }): boolean {
  const [, program] = process.argv
  if (!isMainThread || program === undefined || !module.url.startsWith('file:')) return false
  const own = fileURLToPath(module.url)
  // `node app` finds app.js, and a link leads to the file that it names.
  return ['', '.js', '.mjs', '.ts', '.mts', '/index.js'].some((end) => pathOf(program + end) === own)
}

function pathOf(file: string): string | undefined {
  try {
    return realpathSync(file)
  } catch {
    return undefined
  }
}
