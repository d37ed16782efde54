import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import type { ExecutionContext } from 'ava'

const troupe = fileURLToPath(new URL('../../bin/troupe.js', import.meta.url))
const connected = fileURLToPath(new URL('connected-program.js', import.meta.url))

/** What the command has printed, and how it ended. */
export interface Ended {
  readonly stdout: string
  readonly stderr: string
  readonly code: number
}

/** A user of a test's own, who has set no token and whose clusters are none of other tests'. */
export class OwnHome {
  readonly folder = mkdtempSync(join(tmpdir(), 'troupe-test-'))
  readonly #t: ExecutionContext

  constructor(t: ExecutionContext) {
    this.#t = t
    t.teardown(() => rmSync(this.folder, { recursive: true }))
  }

  /** Runs the command to its end. */
  async troupe(...args: string[]): Promise<Ended> {
    return this.run('', troupe, ...args)
  }

  /** Runs a script to its end, with some standard input. */
  async run(input: string, script: string, ...args: string[]): Promise<Ended> {
    const child = this.start(script, ...args)
    child.stdin!.end(input)
    const [stdout, stderr, [code]] = await Promise.all([text(child.stdout!), text(child.stderr!), once(child, 'exit')])
    return { stdout, stderr, code }
  }

  /** Runs a program that has a cluster with one actor, and resolves once that lives. */
  async connected(actor: string): Promise<{ child: ChildProcess; clusterId: string; program: string }> {
    const child = this.start(connected, actor)
    const { value: clusterId } = await createInterface({ input: child.stdout! })[Symbol.asyncIterator]().next()
    return { child, clusterId, program: connected }
  }

  /** Runs a script, at most until the test ends. */
  start(script: string, ...args: string[]): ChildProcess {
    const { TROUPE_TOKEN: _token, TROUPE_ADDRESS: _address, ...others } = process.env
    const child = spawn(process.execPath, [script, ...args], { env: { ...others, HOME: this.folder } })
    this.#t.teardown(() => child.kill('SIGKILL'))
    return child
  }
}
