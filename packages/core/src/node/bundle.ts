import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { BUNDLE_CONDITION } from '../protocol/loader-flags.js'

// Which files a process of this package starts from: those that were compiled, or fewer that were made of them, which take
// much less time to load. What a user's module imports must be of the same kind, so an export condition says which.

/** What a bundle was made of. It is written last, when the rest of the bundle is there. */
interface BundleStamp {
  /** Files of the package. */
  readonly files: readonly string[]
  readonly hash: string
}

const STAMP = 'bundle/stamp.json'

/** This package. Its files are two folders deep, in `dist` and in `bundle` alike. */
const root = new URL('../../', import.meta.url)

const isBundled = import.meta.url.startsWith(new URL('bundle/', root).href)

let isUsable: boolean | undefined

/**
 * The arguments of Node.js for a process of this package: from the bundle where there is one that was made of exactly the
 * files that are there.
 *
 * @param entry a file such as `worker/main.js`
 */
export function entryArguments(entry: string): string[] {
  isUsable ??= isBundled || areFresh()
  const path = (folder: string) => fileURLToPath(new URL(`${folder}/${entry}`, root))
  return isUsable ? [`--conditions=${BUNDLE_CONDITION}`, path('bundle')] : [path('dist')]
}

/** The hash of files of a package. */
export function hashOf(folder: URL, files: readonly string[]): string {
  const hash = createHash('sha256')
  for (const file of files) hash.update(`${file}\0`).update(readFileSync(new URL(file, folder)))
  return hash.digest('hex')
}

/** Whether the bundles of this package and of the one below it are there, made of the files that are there. */
function areFresh(): boolean {
  try {
    const tensor = new URL('../', import.meta.resolve('@troupe/tensor'))
    return [root, tensor].every((folder) => {
      const { files, hash } = JSON.parse(readFileSync(new URL(STAMP, folder), 'utf8')) as BundleStamp
      return hashOf(folder, files) === hash
    })
  } catch {
    // There is none, or a file is gone.
    return false
  }
}
