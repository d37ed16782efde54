import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from './until.js'

/** The folder of all files of a process's tests: actors that outlive their test note in them when the cluster ends. */
let folder: string | undefined
let files = 0

function newFile(): string {
  if (!folder) {
    const made = mkdtempSync(join(tmpdir(), 'troupe-test-'))
    process.on('exit', () => rmSync(made, { recursive: true }))
    folder = made
  }
  return join(folder, `notes-${++files}`)
}

/** A file that actors note lines in. */
export class Notes {
  readonly path = newFile()

  lines(): string[] {
    try {
      return readFileSync(this.path, 'utf8').split('\n').slice(0, -1)
    } catch {
      return []
    }
  }

  /** Resolves once a line has been noted. */
  async include(line: string): Promise<void> {
    const lines = await until(
      () => this.lines(),
      (found) => found.includes(line),
    )
    if (!lines.includes(line)) throw new Error(`expected the note ${line}, found ${lines}`)
  }
}
