import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'

const COMMIT = /^[0-9a-f]{40}$/

/** A repository's folder in the cache that all Hugging Face libraries share: blobs by their hash, snapshots that link to them, refs. */
export class CacheFolder {
  readonly path: string

  constructor(cacheFolder: string, repository: string) {
    this.path = join(cacheFolder, `models--${repository.replaceAll('/', '--')}`)
  }

  blob(hash: string): string {
    return join(this.path, 'blobs', hash)
  }

  snapshot(commit: string): string {
    return join(this.path, 'snapshots', commit)
  }

  /** The commit that a revision was when it was last fetched. */
  commitOf(revision: string): string | undefined {
    if (COMMIT.test(revision)) return revision
    const path = join(this.path, 'refs', revision)
    try {
      const commit = readFileSync(path, 'utf8').trim()
      return COMMIT.test(commit) ? commit : undefined
    } catch {
      return undefined
    }
  }

  /** The paths of the files of a commit that are here. */
  filesOf(commit: string): string[] {
    const folder = this.snapshot(commit)
    if (!existsSync(folder)) return []
    const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    // A link whose blob was removed is no file.
    return paths.filter((path) => existsSync(join(folder, path)))
  }

  /** Makes a blob a file of a commit. */
  async link(commit: string, path: string, hash: string): Promise<void> {
    const link = join(this.snapshot(commit), path)
    if (existsSync(link)) return
    await mkdir(dirname(link), { recursive: true })
    await replace(link, (temporary) => symlink(relative(dirname(link), this.blob(hash)), temporary))
  }

  async setRevision(revision: string, commit: string): Promise<void> {
    if (revision === commit || this.commitOf(revision) === commit) return
    const path = join(this.path, 'refs', revision)
    await mkdir(dirname(path), { recursive: true })
    await replace(path, (temporary) => writeFile(temporary, commit))
  }
}

/** Puts something new at a path in one step, so that nobody finds half of it. */
async function replace(path: string, write: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = `${path}.${process.pid}.${performance.now()}`
  try {
    await write(temporary)
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}
