import type { ChildProcess } from 'node:child_process'
import type { Readable } from 'node:stream'
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import { Deferred } from '../common/deferred.js'
import type { Death } from '../protocol/actor.js'
import { LineReader } from './line-reader.js'

/** Lines of a worker's stderr that are kept for the report of its death. */
const KEPT_LINES = 10

/** Milliseconds without output after which no more is waited for, and the most that it is waited for at all. */
const QUIET = 100
const LAST_OUTPUT = 5000

/** Characters of a line that an error repeats. */
const MOST_REPEATED = 1000

/** The line before the frames of native code, in which nobody finds a reason. */
const NATIVE_FRAMES = /^-+ Native stack trace -+$/
const FATAL = /^(?:#\s*)?(FATAL ERROR: .*|Fatal (?:JavaScript )?(?:error|.* out of memory).*)$/
const OUT_OF_MEMORY = /heap out of memory|JavaScript .*out of memory|invalid table size|ERR_WORKER_OUT_OF_MEMORY/i

/** The last lines that a worker wrote to stderr. */
export class LastLines {
  readonly #lines: string[] = []
  /** The words of Node.js or V8 when it gave up. */
  #fatal: string | undefined
  #isNative = false

  add(line: string): void {
    const [, fatal] = FATAL.exec(line) ?? []
    this.#fatal ??= fatal
    if (NATIVE_FRAMES.test(line)) this.#isNative = true
    if (this.#isNative && this.#fatal !== undefined) return
    if (this.#lines.push(line) > KEPT_LINES) this.#lines.shift()
  }

  /** The death of a `process` or a `thread`, as its exit code, or the signal that killed it, and these lines tell. */
  describe(what: 'process' | 'thread', code: number | null, signal?: string | null): Death {
    const lines = [...this.#lines]
    const ended = signal ? `was killed by ${signal}` : `exited with code ${code}`
    if (this.#fatal !== undefined) {
      const why = explainFatal(this.#fatal)
      return {
        reason: why === undefined ? `its ${what} ${ended} (${this.#fatal})` : `${why}; its ${what} ${ended}`,
        lines,
      }
    }
    if (signal) return { reason: `its ${what} ${ended}`, lines }
    const error = lines.find((line) => /^(Uncaught )?[\w.]*(Error|Exception)\b.*: /.test(line))
    const output = lines.filter((line) => line.trim() !== '').map(shortened)
    const tail = output.length > 0 && code !== 0 ? `\nlast lines on its stderr:\n${output.join('\n')}` : ''
    return { reason: `its ${what} ${ended}${error && code !== 0 ? ` (${shortened(error)})` : ''}${tail}`, lines }
  }
}

/** The meaning of the last words of Node.js or V8, where the user can do something about it. */
export function explainFatal(text: string): string | undefined {
  if (!OUT_OF_MEMORY.test(text)) return undefined
  return "its JavaScript heap ran out of memory; raise its limit with nodeFlags: ['--max-old-space-size=MEBIBYTES'], or keep less"
}

function shortened(line: string): string {
  return line.length > MOST_REPEATED ? `${line.slice(0, MOST_REPEATED)}… (${line.length} characters)` : line
}

/**
 * Waits until all has been read that a process wrote before it ended. Another process may have its output too, and keep it
 * open: then until nothing has come for a while.
 */
export async function lastOutput(child: ChildProcess): Promise<void> {
  let isClosed = false
  let hasCome = true
  const closed = new Deferred()
  child.on('close', () => {
    isClosed = true
    closed.resolve()
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
    await Promise.race([closed.promise, delay(QUIET)])
    // A process that lags has what came meanwhile still to read.
    for (let turns = 0; turns < 2 && !isClosed; turns++) await nextTurn()
  }
}

/** Hands on each line of a stream of text. */
export function readLines(stream: Readable, take: (line: string) => void): void {
  const reader = new LineReader(take)
  stream.setEncoding('utf8')
  stream.on('data', (text: string) => reader.read(text)).on('end', () => reader.end())
}
