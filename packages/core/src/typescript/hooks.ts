import { readFile } from 'node:fs/promises'
import type { LoadHook, ResolveHook } from 'node:module'
import { fileURLToPath } from 'node:url'
import { transform } from 'oxc-transform'

/** What a TypeScript source is named by the JavaScript that imports it, and what it is. */
const sources = new Map([
  ['.js', ['.ts', '.tsx']],
  ['.jsx', ['.tsx']],
  ['.mjs', ['.mts']],
])

/** Helpers that transformed sources import: they are a dependency of this package, not of the user's. */
const HELPERS = '@oxc-project/runtime/'

/** Syntax that this version of Node.js does not know, such as `await using`, is rewritten. */
const target = `node${process.versions.node.split('.')[0]}`

/** Finds `./counter.ts` where `./counter.js` is asked for and does not exist. */
export const resolve: ResolveHook = async (specifier, context, nextResolve) => {
  if (specifier.startsWith(HELPERS)) return nextResolve(specifier, { ...context, parentURL: import.meta.url })
  try {
    return await nextResolve(specifier, context)
  } catch (error) {
    for (const source of isMissing(error) ? sourcesOf(specifier) : []) {
      try {
        return await nextResolve(source, context)
      } catch (another) {
        if (!isMissing(another)) throw another
      }
    }
    throw error
  }
}

/** Transforms TypeScript, unless another loader or Node.js itself has done so. */
export const load: LoadHook = async (url, context, nextLoad) => {
  if (!/^file:.*\.m?tsx?$/.test(url)) return nextLoad(url, context)
  try {
    const loaded = await nextLoad(url, context)
    if (loaded.source != null && !loaded.format?.endsWith('-typescript')) return loaded
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_UNKNOWN_FILE_EXTENSION') throw error
  }
  return { format: 'module', shortCircuit: true, source: await transformed(fileURLToPath(url)) }
}

async function transformed(path: string): Promise<string> {
  const { code, map, errors } = await transform(path, await readFile(path, 'utf8'), { target, sourcemap: true })
  const [error] = errors
  if (error) throw new SyntaxError(`${path}: ${error.message}${error.codeframe ?? ''}`)
  const inline = Buffer.from(JSON.stringify(map)).toString('base64')
  return `${code}\n//# sourceMappingURL=data:application/json;base64,${inline}`
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND'
}

function sourcesOf(specifier: string): string[] {
  const [, stem, extension] = /^((?:\.{0,2}\/|file:).*)(\.[^./]+)$/.exec(specifier) ?? []
  return (sources.get(extension ?? '') ?? []).map((other) => stem + other)
}
