import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { ExecutionContext } from 'ava'

/** A process of a test's, with the lines it prints. */
export interface Program {
  readonly child: ChildProcess
  /** The next line on its stdout; rejects when it ends first. */
  line(): Promise<string>
  /** All it has written to stderr so far. */
  errors(): string
  /** Resolves with that once it matches; rejects when the process ends before. */
  untilError(pattern: RegExp): Promise<string>
  /** Resolves with its exit code or signal. */
  readonly ended: Promise<number | string>
}

/** Runs one of the modules in this folder, or another script, in a process of its own, at most until the test ends. */
export function run(t: ExecutionContext, script: string, ...args: string[]): Program {
  return follow(t, script, spawn(process.execPath, [pathOf(script), ...args], { stdio: ['ignore', 'pipe', 'pipe'] }))
}

/** Runs one of them under a limit that the shell sets, such as `ulimit -n 64`. */
export function runLimited(t: ExecutionContext, limit: string, script: string, ...args: string[]): Program {
  const command = `${limit} && exec "$0" "$@"`
  const shell = ['-c', command, process.execPath, pathOf(script), ...args]
  return follow(t, script, spawn('sh', shell, { stdio: ['ignore', 'pipe', 'pipe'] }))
}

/** Runs one of them by another command, such as `['nice', '-n', '5']`. */
export function runUnder(t: ExecutionContext, before: readonly string[], script: string, ...args: string[]): Program {
  const [command, ...first] = before
  const all = [...first, process.execPath, pathOf(script), ...args]
  return follow(t, script, spawn(command!, all, { stdio: ['ignore', 'pipe', 'pipe'] }))
}

function pathOf(script: string): string {
  return script.startsWith('/') ? script : fileURLToPath(new URL(script, import.meta.url))
}

function follow(t: ExecutionContext, script: string, child: ChildProcessByStdio<null, Readable, Readable>): Program {
  t.teardown(() => child.kill('SIGKILL'))
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  const ended = once(child, 'close').then(([code, signal]) => (signal ?? code) as number | string)
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const line = async () => {
    const { done, value } = await lines.next()
    if (done) throw new Error(`${script} ended with ${await ended}: ${errors}`)
    return value
  }
  const untilError = (pattern: RegExp) =>
    new Promise<string>((resolve, reject) => {
      const look = () => {
        if (pattern.test(errors)) resolve(errors)
      }
      child.stderr.on('data', look)
      void ended.then((end) => reject(new Error(`${script} ended with ${end} before ${pattern}: ${errors}`)))
      look()
    })
  return { child, line, ended, errors: () => errors, untilError }
}
