import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'

/** A file that actors note lines in, until the test ends. */
export class Notes {
  readonly path: string

  constructor(t: ExecutionContext) {
    const folder = mkdtempSync(join(tmpdir(), 'notes-'))
    t.teardown(() => rmSync(folder, { recursive: true }))
    this.path = join(folder, 'notes')
  }

  lines(): string[] {
    try {
      return readFileSync(this.path, 'utf8').split('\n').slice(0, -1)
    } catch {
      return []
    }
  }

  /** Resolves once a line has been noted. */
  async include(line: string): Promise<void> {
    for (let left = 3000; left > 0 && !this.lines().includes(line); left--) {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    if (!this.lines().includes(line)) throw new Error(`expected the note ${line}, found ${this.lines()}`)
  }
}
