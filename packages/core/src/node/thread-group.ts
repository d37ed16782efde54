import type { ChildProcess } from 'node:child_process'
import { Deferred } from '../common/deferred.js'
import { RunClock, whileRunning } from '../common/run-clock.js'
import { LATE } from '../common/timer.js'
import type { Death, ProcessSettings } from '../protocol/actor.js'
import type { WorkerSettings } from '../protocol/boot.js'
import type { NodeEvents } from '../protocol/services.js'
import { explainAbort, explainStart } from './start-process.js'
import { explainFatal, LastLines, readLines } from './worker-output.js'

/** Message of a node to a process of threads. */
export type ThreadOrder = { readonly start: WorkerSettings } | { readonly end: string }

/** Message of a process of threads to its node. */
export type ThreadReport =
  | { readonly line: string; readonly of: string; readonly isError: boolean }
  | { readonly ended: string; readonly code: number; readonly error?: string | undefined }

/** Milliseconds that a thread has to end. JavaScript can be ended at any point, native code only when it returns. */
const END_TIMEOUT = 2000

interface Thread {
  readonly lastLines: LastLines
  report(death: Death): void
  readonly ended: Promise<void>
}

/** Workers that are threads of one process, which ends with the last of them. */
export class ThreadGroup {
  readonly #child: ChildProcess
  /** The clock of its process; undefined where that could not be started. */
  readonly clock: RunClock | undefined
  readonly #notices: NodeEvents
  readonly #threads = new Map<string, Thread>()
  readonly #emptied: () => void

  /**
   * @param child runs `threads-main.js`, with a channel to this process
   * @param folders the folder that it is to work in
   * @param emptied called when the last thread has ended
   */
  constructor(child: ChildProcess, folders: Pick<ProcessSettings, 'cwd'>, notices: NodeEvents, emptied: () => void) {
    this.#emptied = emptied
    this.#child = child
    if (child.pid !== undefined) this.clock = new RunClock(child.pid)
    this.#notices = notices
    child.on('message', (report: ThreadReport) => this.#take(report))
    // Output of native code is no thread's in particular.
    const ownLines = new LastLines()
    for (const stream of [child.stdout!, child.stderr!]) {
      readLines(stream, (line) => {
        ownLines.add(line)
        const [first] = this.#threads.keys()
        if (first) notices.log(first, line)
      })
    }
    child.on('error', (error) => this.#ended(explainStart(error, folders)))
    child.on('exit', (code, signal) => {
      const aborted = signal === 'SIGABRT' ? explainAbort() : undefined
      this.#ended({ ...ownLines.describe('process', code, signal), ...aborted })
    })
  }

  start(settings: WorkerSettings): void {
    const ended = new Deferred()
    const report = (death: Death) => {
      if (!this.#threads.delete(settings.processId)) return
      if (this.#threads.size === 0) this.#close()
      this.#notices.exited(settings.processId, death)
      ended.resolve()
    }
    this.#threads.set(settings.processId, { lastLines: new LastLines(), report, ended: ended.promise })
    this.#send({ start: settings })
  }

  /** Ends a thread. A thread that is still in native code is given up: it ends there, or with the last of the others. */
  async end(processId: string): Promise<void> {
    const thread = this.#threads.get(processId)
    if (!thread) return
    this.#send({ end: processId })
    if ((await whileRunning(thread.ended, END_TIMEOUT, () => this.clock?.look())) === LATE)
      thread.report({ reason: `its thread did not end within ${END_TIMEOUT / 1000} s` })
  }

  #close(): void {
    this.#emptied()
    this.#child.kill('SIGKILL')
  }

  #send(order: ThreadOrder): void {
    if (this.#child.connected) this.#child.send(order, () => {})
  }

  #take(report: ThreadReport): void {
    if ('line' in report) {
      const thread = this.#threads.get(report.of)
      if (report.isError) thread?.lastLines.add(report.line)
      if (thread) this.#notices.log(report.of, report.line)
      return
    }
    const thread = this.#threads.get(report.ended)
    const death = thread?.lastLines.describe('thread', report.code)
    if (!death) return
    const { error } = report
    const why = error && (explainFatal(error) ?? `its thread failed: ${error}`)
    thread?.report(why ? { ...death, reason: why } : death)
  }

  #ended(death: Death): void {
    for (const thread of [...this.#threads.values()]) thread.report(death)
  }
}
