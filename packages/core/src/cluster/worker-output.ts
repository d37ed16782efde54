import type { ChildProcess } from 'node:child_process'
import type { Readable } from 'node:stream'
import { LineReader } from './line-reader.js'
import type { Death } from './protocol.js'

/** Lines of a worker's stderr that are kept for the report of its death. */
const KEPT_LINES = 10

/** Milliseconds without output after which no more is waited for, and the most that it is waited for at all. */
const QUIET = 100
const LAST_OUTPUT = 5000

/** The last lines that a worker wrote to stderr. */
export class LastLines {
  readonly #lines: string[] = []

  add(line: string): void {
    if (this.#lines.push(line) > KEPT_LINES) this.#lines.shift()
  }

  /** What an exit code, or the signal that killed it, and these lines tell of the end of a `process` or a `thread`. */
  describe(what: 'process' | 'thread', code: number | null, signal?: string | null): Death {
    const lines = [...this.#lines]
    if (signal) return { reason: `its ${what} was killed by ${signal}`, lines }
    const error = lines.find((line) => /^(Uncaught )?[\w.]*(Error|Exception)\b.*: /.test(line))
    const output = lines.filter((line) => line.trim() !== '')
    const tail = output.length > 0 && code !== 0 ? `\nlast lines on its stderr:\n${output.join('\n')}` : ''
    return { reason: `its ${what} exited with code ${code}${error && code !== 0 ? ` (${error})` : ''}${tail}`, lines }
  }
}

/**
 * Waits until all has been read that a process wrote before it ended. Another process may have its output too, and keep it
 * open: then until nothing has come for a while.
 */
export async function lastOutput(child: ChildProcess): Promise<void> {
  let isClosed = false
  let hasCome = true
  const closed = new Promise<void>((resolve) => {
    child.on('close', () => {
      isClosed = true
      resolve()
    })
  })
  const streams = [child.stdout, child.stderr].filter((stream) => stream !== null)
  for (const stream of streams) {
    stream.on('data', () => {
      hasCome = true
    })
  }
  const deadline = performance.now() + LAST_OUTPUT
  while (!isClosed && hasCome && performance.now() < deadline) {
    hasCome = false
    await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, QUIET))])
    // A process that lags has what came meanwhile still to read.
    if (!isClosed) await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  }
}

/** Hands on each line of a stream of text. */
export function readLines(stream: Readable, take: (line: string) => void): void {
  const reader = new LineReader(take)
  stream.setEncoding('utf8')
  stream.on('data', (text: string) => reader.read(text)).on('end', () => reader.end())
}
