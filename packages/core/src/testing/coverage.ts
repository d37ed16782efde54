import { type Profiler, Session } from 'node:inspector/promises'
import { actor } from '@troupe/core'
import type { Handle } from '../api/handle.js'

const own = new URL('../', import.meta.url).href

/** Counts the functions of this package that run, in this thread. */
export class Coverage {
  readonly #session = new Session()

  async start(): Promise<void> {
    this.#session.connect()
    await this.#session.post('Profiler.enable')
    await this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false })
  }

  /** The sources, as `ROOM/FILE.ts`, of which a function has run since the last look. */
  async look(): Promise<string[]> {
    const { result }: Profiler.TakePreciseCoverageReturnType = await this.#session.post('Profiler.takePreciseCoverage')
    return result
      .filter(({ url, functions }) => url.startsWith(own) && functions.some(({ ranges }) => ranges[0]!.count > 0))
      .map(({ url }) => url.slice(own.length).replace(/\.js$/, '.ts'))
      .filter((file) => !file.startsWith('testing/') && !file.endsWith('.test.ts'))
  }

  stop(): void {
    this.#session.disconnect()
  }
}

/** Tells which files a call passes on its way in. */
export class Callee {
  readonly #coverage = new Coverage()

  nothing(): void {}

  async begin(): Promise<void> {
    await this.#coverage.start()
  }

  /** The files that this call has passed, and the answer to the one before. */
  async passed(): Promise<string[]> {
    return this.#coverage.look()
  }

  /** A handle of another actor. */
  async other(): Promise<Handle<Callee>> {
    return RemoteCallee.spawn()
  }
}

export const RemoteCallee = actor(import.meta.url, Callee)
