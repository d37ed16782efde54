import { type ChildProcess, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { Store } from '@troupe/native'
import { CLUSTER_VARIABLE, WORKER_VARIABLE, type WorkerBoot } from './boot.js'
import { LineReader } from './line-reader.js'
import type { Death, NodeNotices, NodeRequests, WorkerSpec } from './protocol.js'
import { TITLE_ROOM } from './title.js'

const workerMain = fileURLToPath(new URL('../worker/main.js', import.meta.url))

/** Milliseconds a worker has between the request to end and being killed. */
const GRACE = 500
/** Milliseconds that the last output of an ended worker may take. */
const LAST_OUTPUT = 100
/** Lines of a worker's stderr that are kept for the report of its death. */
const KEPT_LINES = 10

/** What all workers of a node share. */
export type NodeSettings = { readonly store: Store } & Pick<
  WorkerBoot,
  'nodeId' | 'clusterId' | 'head' | 'headEndpoint' | 'host' | 'listens'
>

interface Worker {
  readonly child: ChildProcess
  readonly ended: Promise<void>
}

/** Starts and ends the worker processes of one node. */
export class NodeAgent implements NodeRequests {
  readonly #settings: NodeSettings
  readonly #notices: NodeNotices
  readonly #workers = new Map<string, Worker>()

  constructor(settings: NodeSettings, notices: NodeNotices) {
    this.#settings = settings
    this.#notices = notices
  }

  startWorker({ processId, env, nodeFlags = [], cwd }: WorkerSpec): void {
    const { store, ...settings } = this.#settings
    const boot: WorkerBoot = { ...settings, store: store.handle, processId, parentPid: process.pid }
    // A session of its own keeps a Ctrl-C in the terminal from the worker: whoever started the cluster decides.
    const child = spawn(process.execPath, [...nodeFlags, workerMain, TITLE_ROOM], {
      detached: true,
      cwd,
      stdio: ['pipe', 'pipe', 'pipe'],
      env: {
        ...process.env,
        ...env,
        [CLUSTER_VARIABLE]: this.#settings.clusterId,
        [WORKER_VARIABLE]: JSON.stringify(boot),
      },
    })
    const lastLines: string[] = []
    const log = (line: string) => this.#notices.log(processId, line)
    readLines(child.stdout!, log)
    readLines(child.stderr!, (line) => {
      if (lastLines.push(line) > KEPT_LINES) lastLines.shift()
      log(line)
    })
    child.stdin!.on('error', () => {})
    const ended = new Promise<void>((resolve) => {
      const report = (death: Death) => {
        if (!this.#workers.delete(processId)) return
        this.#settings.store.reap()
        this.#notices.exited(processId, death)
        resolve()
      }
      child.on('error', (error) => report({ reason: `its process could not be started: ${error.message}` }))
      child.on('exit', (code, signal) => {
        const done = () => report(describeExit(code, signal, lastLines))
        child.on('close', done)
        setTimeout(done, LAST_OUTPUT)
      })
    })
    this.#workers.set(processId, { child, ended })
  }

  async endWorker(processId: string): Promise<void> {
    const worker = this.#workers.get(processId)
    if (!worker) return
    worker.child.kill('SIGTERM')
    const timer = setTimeout(() => worker.child.kill('SIGKILL'), GRACE)
    await worker.ended
    clearTimeout(timer)
  }

  /** Ends all workers; resolves when their processes have ended. */
  async close(): Promise<void> {
    await Promise.all([...this.#workers.keys()].map((processId) => this.endWorker(processId)))
  }
}

function readLines(stream: Readable, take: (line: string) => void): void {
  const reader = new LineReader(take)
  stream.setEncoding('utf8')
  stream.on('data', (text: string) => reader.read(text)).on('end', () => reader.end())
}

function describeExit(code: number | null, signal: string | null, lines: string[]): Death {
  const lastLines = [...lines]
  if (signal) return { reason: `its process was killed by ${signal}`, lines: lastLines }
  const error = lastLines.find((line) => /^(Uncaught )?[\w.]*(Error|Exception)\b.*: /.test(line))
  const output = lastLines.filter((line) => line.trim() !== '')
  const tail = output.length > 0 && code !== 0 ? `\nlast lines on its stderr:\n${output.join('\n')}` : ''
  const reason = `its process exited with code ${code}${error && code !== 0 ? ` (${error})` : ''}${tail}`
  return { reason, lines: lastLines }
}
