import { createHash } from 'node:crypto'
import { lstatSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { InvalidInputError } from '../common/errors.js'

const host = createHash('sha256').update(hostname()).digest('hex').slice(0, 8)
const user = process.getuid?.() ?? 0
const prefix = `troupe-code-${host}-`

/** A folder among the temporary files that a process has while it lives. */
export class OwnFolder {
  #path: string | undefined

  /**
   * The folder, made when it is first asked for. Folders that processes of this user and host have left behind are removed
   * then.
   *
   * @throws InvalidInputError if there is no folder for temporary files
   */
  path(): string {
    if (this.#path === undefined) {
      removeLeftBehind()
      try {
        this.#path = mkdtempSync(join(tmpdir(), `${prefix}${process.pid}-${user}-`))
      } catch (error) {
        throw new InvalidInputError(
          `a working directory cannot be kept in ${tmpdir()} (${(error as Error).message}); set TMPDIR to a folder that can ` +
            'be written to, where the node is started',
          { cause: error },
        )
      }
    }
    return this.#path
  }

  remove(): void {
    if (this.#path !== undefined) rmSync(this.#path, { recursive: true, force: true })
    this.#path = undefined
  }
}

/** Leaves alone what is another user's, or cannot be removed. */
function removeLeftBehind(): void {
  for (const name of entriesOf(tmpdir())) {
    const [, pid, owner] = name.startsWith(prefix) ? (/^(\d+)-(\d+)-/.exec(name.slice(prefix.length)) ?? []) : []
    if (!pid || Number(owner) !== user || isAlive(Number(pid))) continue
    const path = join(tmpdir(), name)
    try {
      if (lstatSync(path).uid === user) rmSync(path, { recursive: true, force: true })
    } catch {}
  }
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
