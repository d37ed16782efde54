import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { transformSync } from 'oxc-transform'

/** Extensions of the JavaScript that imports name, with those of the TypeScript sources that may be meant. */
const extensions = new Map([
  ['.js', ['.ts', '.tsx']],
  ['.jsx', ['.tsx']],
  ['.mjs', ['.mts']],
])

/** Helpers that transformed sources import: they are a dependency of this package, not of the user's. */
const HELPERS = '@oxc-project/runtime/'

/** Syntax that this version of Node.js does not know, such as `await using`, is rewritten. */
const target = `node${process.versions.node.split('.')[0]}`

/** The module that a specifier is resolved from, where it is not the one that imports it. */
export function parentOf(specifier: string): { parentURL?: string } {
  return specifier.startsWith(HELPERS) ? { parentURL: import.meta.url } : {}
}

/**
 * The sources that a specifier may name once `error` has said that there is no such module: `./counter.ts` for
 * `./counter.js`.
 */
export function sourcesOf(specifier: string, error: unknown): string[] {
  if (!isMissing(error)) return []
  const [, stem, extension] = /^((?:\.{0,2}\/|file:).*)(\.[^./]+)$/.exec(specifier) ?? []
  return (extensions.get(extension ?? '') ?? []).map((other) => stem + other)
}

export function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND'
}

export function isTypeScript(url: string): boolean {
  return /^file:.*\.m?tsx?$/.test(url)
}

/** Whether another loader, or Node.js itself, has made JavaScript of a source. */
export function isTransformed(loaded: { source?: unknown; format?: string | null | undefined }): boolean {
  return loaded.source != null && !loaded.format?.endsWith('-typescript')
}

/** Whether loading failed because no other loader knows TypeScript, or because Node.js itself knows too little of it. */
export function isUnknown(error: unknown): boolean {
  const { code = '' } = error as NodeJS.ErrnoException
  return code === 'ERR_UNKNOWN_FILE_EXTENSION' || /^ERR_.*(TYPESCRIPT_SYNTAX|TYPE_STRIPPING)$/.test(code)
}

/** The module that a TypeScript source is. @throws SyntaxError that names the file and the place */
export function transformed(url: string): { format: 'module'; shortCircuit: true; source: string } {
  const path = fileURLToPath(url)
  const { code, map, errors } = transformSync(path, readFileSync(path, 'utf8'), { target, sourcemap: true })
  const [error] = errors
  if (error) throw new SyntaxError(`${path}: ${error.message}${error.codeframe ?? ''}`)
  const inline = Buffer.from(JSON.stringify(map)).toString('base64')
  const source = `${code}\n//# sourceMappingURL=data:application/json;base64,${inline}`
  return { format: 'module', shortCircuit: true, source }
}
