import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { BenchmarkError } from '../benchmark.js'

const troupe = fileURLToPath(new URL('../../../cli/bin/troupe.js', import.meta.url))

/** A server in processes of its own: `troupe serve`, or another one that is there already. */
export class MeasuredServer {
  private constructor(
    /** Such as `http://127.0.0.1:8000`. */
    readonly url: string,
    private readonly child: ChildProcess | undefined,
  ) {}

  /** A server that somebody else has started. */
  static at(url: string): MeasuredServer {
    return new MeasuredServer(url.replace(/\/$/, ''), undefined)
  }

  /**
   * Starts `troupe serve` on a free port.
   * @throws BenchmarkError if it ends before it listens, with what it said
   */
  static async start(model: string, options: readonly string[]): Promise<MeasuredServer> {
    const child = spawn(process.execPath, [troupe, 'serve', model, '--port', '0', ...options], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let said = ''
    const listening = new Promise<string>((resolve) => {
      for (const output of [child.stdout, child.stderr]) {
        output.setEncoding('utf8').on('data', (text: string) => {
          said = (said + text).slice(-4000)
          const url = /on (http:\/\/\S+)\n/.exec(said)?.[1]
          if (url !== undefined) resolve(url)
        })
      }
    })
    const ended = once(child, 'exit').then(() => {
      throw new BenchmarkError(`troupe serve ended before it listened: ${said.trim().split('\n').at(-1)}`)
    })
    ended.catch(() => {})
    return new MeasuredServer(await Promise.race([listening, ended]), child)
  }

  /** A figure of its `/metrics`, by its name there. */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text()
    const line = text.split('\n').find((other) => other.startsWith(`${name}{`) || other.startsWith(`${name} `))
    if (line === undefined) throw new BenchmarkError(`${this.url}/metrics has no ${name}`)
    return Number(line.split(' ').at(-1))
  }

  /** Bytes in memory of its process and all that it has started; what several of them map is counted for each. */
  async residentBytes(): Promise<number> {
    if (this.child === undefined) return 0
    const { stdout } = await promisify(execFile)('ps', ['-axo', 'pid=,ppid=,rss='])
    const rows = stdout
      .trim()
      .split('\n')
      .map((row) => row.trim().split(/\s+/).map(Number))
    const own = new Set([this.child.pid])
    for (let before = 0; own.size > before; ) {
      before = own.size
      for (const [pid, parent] of rows) if (own.has(parent)) own.add(pid)
    }
    return rows.reduce((sum, [pid, , kibibytes]) => sum + (own.has(pid) ? kibibytes! * 1024 : 0), 0)
  }

  /** Ends it, if it was started here, and waits until it is gone. */
  async stop(): Promise<void> {
    if (this.child === undefined || this.child.exitCode !== null) return
    const gone = once(this.child, 'exit')
    this.child.kill('SIGTERM')
    await gone
  }
}
