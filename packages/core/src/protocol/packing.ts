import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { createGzip } from 'node:zlib'
import ignore from 'ignore'
import { create } from 'tar'
import { InvalidInputError } from '../common/errors.js'
import { type DirectoryId, directoryId, type ModuleType, newHash } from './directory-id.js'

/** Patterns of what is left out, one a line as in a .gitignore. A .gitignore would leave out what was compiled. */
const IGNORE_FILE = '.troupeignore'
/** Patterns that are left out unless the file says otherwise, as `!node_modules` does. */
const LEFT_OUT = ['.git', 'node_modules']

/** Bytes that a working directory may have. */
export const MOST_BYTES = 512 * 2 ** 20

/** Bytes that are sent at a time, before they are compressed. */
const CHUNK = 2 ** 20

interface File {
  readonly path: string
  readonly bytes: number
}

/** A working directory, ready to be sent. */
export interface PackedDirectory {
  readonly id: DirectoryId
  readonly root: string
  /** Its files as a compressed archive, which is made while it is read. */
  archive(): AsyncIterable<Uint8Array>
}

/**
 * Reads what a directory holds, without what its .troupeignore leaves out.
 *
 * @throws InvalidInputError if it is no directory, or larger than the limit
 */
export async function packDirectory(directory: string, limit = MOST_BYTES): Promise<PackedDirectory> {
  const root = rootOf(directory)
  const files = filesOf(root)
  checkSize(root, files, limit)
  const paths = files.map(({ path }) => `./${path}`)
  const tar = () => create({ cwd: root, portable: true, mtime: new Date(0), follow: true, noDirRecurse: true }, paths)
  const hash = newHash()
  for await (const piece of tar()) hash.update(piece)
  return {
    id: directoryId(moduleType(root), hash),
    root,
    archive: () => Readable.from(tar()).pipe(createGzip({ level: 1, chunkSize: CHUNK })),
  }
}

function rootOf(directory: string): string {
  try {
    const root = realpathSync(directory)
    if (statSync(root).isDirectory()) return root
  } catch {}
  throw new InvalidInputError(`workingDirectory must be a directory, found ${directory}`)
}

/** The files of a directory, in the order of their paths. Links are followed, since what they name may be elsewhere. */
function filesOf(root: string): File[] {
  const patterns = join(root, IGNORE_FILE)
  const ignored = ignore().add(LEFT_OUT)
  if (existsSync(patterns)) ignored.add(readFileSync(patterns, 'utf8'))
  const files: File[] = []
  const walk = (folder: string, above: readonly string[]) => {
    const real = realpathSync(join(root, folder))
    if (above.includes(real)) return
    for (const name of readdirSync(real)) {
      const path = folder ? `${folder}/${name}` : name
      const stat = statSync(join(root, path), { throwIfNoEntry: false })
      if (!stat || ignored.ignores(stat.isDirectory() ? `${path}/` : path)) continue
      if (stat.isDirectory()) walk(path, [...above, real])
      else if (stat.isFile()) files.push({ path, bytes: stat.size })
    }
  }
  walk('', [])
  return files.sort((left, right) => (left.path < right.path ? -1 : 1))
}

function checkSize(root: string, files: readonly File[], limit: number): void {
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0)
  if (total <= limit) return
  const entries = new Map<string, number>()
  for (const { path, bytes } of files) {
    const [entry] = path.split('/', 1)
    entries.set(entry!, (entries.get(entry!) ?? 0) + bytes)
  }
  const largest = [...entries].sort(([, left], [, right]) => right - left).slice(0, 3)
  throw new InvalidInputError(
    `the working directory ${root} has ${mebibytes(total)}, where ${mebibytes(limit)} are allowed; its largest entries are ` +
      `${largest.map(([entry, bytes]) => `${entry} (${mebibytes(bytes)})`).join(', ')}; name what is not needed in ${IGNORE_FILE}`,
  )
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`
}

/** The module type that the nearest package.json gives `.js` files. */
function moduleType(folder: string): ModuleType {
  const path = join(folder, 'package.json')
  if (existsSync(path)) return JSON.parse(readFileSync(path, 'utf8')).type === 'module' ? 'module' : 'commonjs'
  return dirname(folder) === folder ? 'commonjs' : moduleType(dirname(folder))
}
