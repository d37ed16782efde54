import { readFileSync } from 'node:fs'
import { type Profiler, Session } from 'node:inspector/promises'
import { SourceMap } from 'node:module'
import { actor } from '@troupe/core'
import type { Handle } from '../api/handle.js'

const root = new URL('../../', import.meta.url).href
const sources = new URL('src/', root).href

/** A file that has been compiled, or bundled. */
class CompiledFile {
  readonly #url: string
  readonly #map: SourceMap
  /** Where each line begins. */
  readonly #lines: number[] = [0]

  constructor(url: string) {
    this.#url = url
    const text = readFileSync(new URL(url), 'utf8')
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) this.#lines.push(at + 1)
    this.#map = new SourceMap(JSON.parse(readFileSync(new URL(`${url}.map`), 'utf8')))
  }

  /** The URL of the source of what is at an offset; undefined where that has none. */
  sourceAt(offset: number): string | undefined {
    const line = this.#lines.findLastIndex((start) => start <= offset)
    const entry = this.#map.findEntry(line, offset - this.#lines[line]!)
    return 'originalSource' in entry ? new URL(entry.originalSource, this.#url).href : undefined
  }
}

/** Counts the functions of this package that run, in this thread. */
export class Coverage {
  readonly #session = new Session()
  readonly #files = new Map<string, CompiledFile>()

  async start(): Promise<void> {
    this.#session.connect()
    await this.#session.post('Profiler.enable')
    await this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false })
  }

  /** The sources, as `ROOM/FILE.ts`, of which a function has run since the last look. */
  async look(): Promise<string[]> {
    const { result }: Profiler.TakePreciseCoverageReturnType = await this.#session.post('Profiler.takePreciseCoverage')
    const found = result
      .filter(({ url }) => url.startsWith(root))
      .flatMap(({ url, functions }) =>
        functions
          .filter(({ ranges }) => ranges[0]!.count > 0)
          .map(({ ranges }) => this.#file(url).sourceAt(ranges[0]!.startOffset)),
      )
      .filter((source) => source?.startsWith(sources))
      .map((source) => source!.slice(sources.length))
    return [...new Set(found)].filter((file) => !file.startsWith('testing/') && !file.endsWith('.test.ts'))
  }

  stop(): void {
    this.#session.disconnect()
  }

  #file(url: string): CompiledFile {
    let file = this.#files.get(url)
    if (!file) {
      file = new CompiledFile(url)
      this.#files.set(url, file)
    }
    return file
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
