import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ExecutionContext } from 'ava'

export const root = fileURLToPath(new URL('../../../', import.meta.url))
const troupe = join(root, 'packages', 'cli', 'bin', 'troupe.js')

/** The environment variable by which every process that a test starts, however indirectly, can be found again. */
const MARK = 'TROUPE_TEST_MARK'

export interface Finished {
  status: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

/** A running command, its output so far, and its end. */
export interface Running {
  child: ChildProcess
  output: { stdout: string; stderr: string }
  finished: Promise<Finished>
  /** Resolves once standard output or error matches. Rejects if the command ends before. */
  printed(pattern: RegExp): Promise<RegExpExecArray>
}

/** Starts processes for one test, or for several, and checks at the end that none of them, nor any of theirs, is left. */
export class ProcessGuard {
  readonly mark = randomUUID()
  readonly #before = sharedMemory()

  /** @param t the test at whose end it checks; without one, check() is to be called */
  constructor(t?: ExecutionContext) {
    process.env[MARK] = this.mark
    t?.teardown(() => this.check(t))
  }

  /** Fails a test if anything is left, which it ends. */
  async check(t: ExecutionContext): Promise<void> {
    const left = await this.gone()
    for (const { pid } of left) process.kill(pid, 'SIGKILL')
    const names = left.map(({ pid, command }) => `${pid} ${command}`)
    if (names.length > 0) t.fail(`processes left: ${names.join(', ')}`)
    const segments = sharedMemory().filter((name) => !this.#before.includes(name))
    if (segments.length > 0) t.fail(`shared memory left: ${segments.join(', ')}`)
  }

  /** Runs the `troupe` command. */
  troupe(...args: string[]): Running {
    return this.run(process.execPath, [troupe, ...args])
  }

  run(command: string, args: string[], env: Record<string, string> = {}): Running {
    const child = spawn(command, args, {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, [MARK]: this.mark, ...env },
    })
    const output = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        output[name] += text
      })
    }
    const finished = new Promise<Finished>((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (status, signal) => resolve({ status, signal, ...output }))
    })
    const printed = (pattern: RegExp) =>
      new Promise<RegExpExecArray>((resolve, reject) => {
        const look = () => {
          const found = pattern.exec(output.stdout) ?? pattern.exec(output.stderr)
          if (found) resolve(found)
        }
        child.stdout.on('data', look)
        child.stderr.on('data', look)
        finished.then((end) => reject(new Error(`ended before it printed ${pattern}: ${JSON.stringify(end)}`)), reject)
        look()
      })
    return { child, output, finished, printed }
  }

  /** The processes of this test other than itself. */
  living(): { pid: number; command: string }[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
      .flatMap((name) => {
        const environment = readProc(name, 'environ')
        if (!environment.split('\0').includes(`${MARK}=${this.mark}`)) return []
        return [{ pid: Number(name), command: readProc(name, 'cmdline').replaceAll('\0', ' ').trim() }]
      })
  }

  /** Waits until no more than `staying` processes of this test are left, half a minute or more; gives those that are. */
  async gone(staying = 0): Promise<{ pid: number; command: string }[]> {
    for (let looks = 1500; ; looks--) {
      const left = this.living()
      if (left.length <= staying || looks === 0) return left
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

function readProc(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return ''
  }
}

function sharedMemory(): string[] {
  return readdirSync('/dev/shm').filter((name) => name.startsWith('troupe'))
}
