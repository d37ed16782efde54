import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join } from 'node:path'

const MOST_LINES = 1000

/** The lines that a user has typed, the newest last, kept in a file in the user's state directory. */
export class LineHistory {
  readonly #lines: string[]

  /** @param path The file; by default that in XDG_STATE_HOME, or in ~/.local/state without it. */
  constructor(private readonly path = historyFile()) {
    this.#lines = linesOf(path)
  }

  get lines(): readonly string[] {
    return this.#lines
  }

  /** What cannot be written is only known until the program ends. */
  add(line: string): void {
    if (line.trim() === '' || line === this.#lines.at(-1)) return
    this.#lines.push(line)
    this.#lines.splice(0, this.#lines.length - MOST_LINES)
    try {
      mkdirSync(dirname(this.path), { recursive: true, mode: 0o700 })
      writeFileSync(this.path, `${this.#lines.join('\n')}\n`, { mode: 0o600 })
    } catch {}
  }
}

function historyFile(): string {
  const given = process.env.XDG_STATE_HOME
  const state = given !== undefined && isAbsolute(given) ? given : join(homedir(), '.local', 'state')
  return join(state, 'troupe', 'chat-history')
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
  } catch {
    return []
  }
}
