import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'

const host = createHash('sha256').update(hostname()).digest('hex').slice(0, 8)
const prefix = `troupe-code-${host}-`

/** A folder among the temporary files that a process has while it lives. */
export class OwnFolder {
  #path: string | undefined

  /** The folder, made when it is first asked for. Those that processes of this host have left behind are removed then. */
  path(): string {
    if (this.#path === undefined) {
      for (const name of readdirSync(tmpdir())) {
        const [, pid] = name.startsWith(prefix) ? (/^(\d+)-/.exec(name.slice(prefix.length)) ?? []) : []
        if (pid && !isAlive(Number(pid))) rmSync(join(tmpdir(), name), { recursive: true, force: true })
      }
      this.#path = mkdtempSync(join(tmpdir(), `${prefix}${process.pid}-`))
    }
    return this.#path
  }

  remove(): void {
    if (this.#path !== undefined) rmSync(this.#path, { recursive: true, force: true })
    this.#path = undefined
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
