import type { ChildProcess } from 'node:child_process'
import type { Store } from '@troupe/native'
import { Deferred } from '../common/deferred.js'
import { InvalidInputError } from '../common/errors.js'
import { RunClock } from '../common/run-clock.js'
import type { Death, ProcessSettings, ThreadPlace, WorkerSpec } from '../protocol/actor.js'
import { CLUSTER_VARIABLE, sendBoot, type ThreadsBoot, type WorkerBoot, type WorkerSettings } from '../protocol/boot.js'
import type { DirectoryId } from '../protocol/directory-id.js'
import type { Stack } from '../protocol/listing.js'
import { visibleDevices } from '../protocol/resources.js'
import type { NodeEvents, NodeService } from '../protocol/services.js'
import { TITLE_ROOM } from '../protocol/title.js'
import { withoutToken } from '../protocol/token.js'
import { entryArguments } from './bundle.js'
import { Descendants, NODE_VARIABLE, NodeGuard, WORKER_VARIABLE } from './descendants.js'
import { DirectoryCache, type ReadDirectory } from './directory-cache.js'
import { OwnFolder } from './own-folder.js'
import { STACK_FLAGS, StackProbe } from './stack-probe.js'
import { explainAbort, explainStart, StartRefusal, startProcess } from './start-process.js'
import { ThreadGroup } from './thread-group.js'
import { LastLines, lastOutput, readLines } from './worker-output.js'

const WORKER_ENTRY = 'worker/main.js'
const THREADS_ENTRY = 'worker/threads-main.js'

/** Milliseconds that a worker has to end after SIGTERM, which its code may handle, before it is killed. */
const GRACE = 500
/** Settings that all workers of a node share. */
export type NodeSettings = { readonly store: Store } & Omit<WorkerSettings, 'processId' | 'store'>

/** Starts and ends the workers of one node. */
export class NodeAgent implements NodeService {
  readonly #settings: NodeSettings
  readonly #notices: NodeEvents
  readonly #nodeFlags: readonly string[]
  /** The function that ends each worker. */
  readonly #workers = new Map<string, () => Promise<void>>()
  readonly #threads = new Map<string, ThreadGroup>()
  /** The end of what each worker that has ended had started. */
  readonly #endings = new Map<string, Promise<void>>()
  readonly #probes = new Map<string, StackProbe>()
  /** The clocks of the processes that workers run in. */
  readonly #clocks = new Map<string, RunClock>()

  #isReaping = false
  readonly #descendants = new Descendants()
  #guard: NodeGuard | undefined
  readonly #folder = new OwnFolder()
  readonly #directories: DirectoryCache

  /**
   * @param readDirectory asks the head for working directories
   * @param nodeFlags flags of Node.js for all workers
   */
  constructor(
    settings: NodeSettings,
    notices: NodeEvents,
    readDirectory: ReadDirectory,
    nodeFlags: readonly string[] = [],
  ) {
    this.#directories = new DirectoryCache(this.#folder, readDirectory)
    this.#settings = settings
    this.#nodeFlags = nodeFlags
    this.#notices = {
      log: notices.log,
      exited: (processId, death) => {
        this.#clocks.delete(processId)
        this.#ended(processId)
        notices.exited(processId, death)
      },
    }
  }

  startWorker({ processId, thread, ...settings }: WorkerSpec): void {
    this.#guard ??= new NodeGuard(this.#settings.nodeId)
    try {
      if (thread) this.#startThread(processId, thread, settings)
      else this.#startProcess(processId, settings)
    } catch (error) {
      if (!(error instanceof StartRefusal)) throw error
      this.#notices.exited(processId, { reason: error.message, isRefused: true })
    }
  }

  async endWorker(processId: string): Promise<void> {
    await this.#workers.get(processId)?.()
    this.#workers.delete(processId)
    this.#probes.delete(processId)
    this.#clocks.delete(processId)
    await this.#endings.get(processId)
  }

  prepareDirectory(id: DirectoryId): Promise<string> {
    return this.#directories.root(id)
  }

  dropDirectory(id: DirectoryId): Promise<void> {
    return this.#directories.drop(id)
  }

  /** Ends all workers; resolves when their processes have ended. */
  async close(): Promise<void> {
    await Promise.all([...this.#workers.keys()].map((processId) => this.endWorker(processId)))
    await Promise.all(this.#endings.values())
    this.#guard?.dismiss()
    this.#folder.remove()
  }

  /** A worker has ended: so does what it had started. */
  #ended(processId: string, pid?: number): void {
    if (this.#endings.has(processId)) return
    const ending = this.#descendants.end(processId, pid).finally(() => this.#endings.delete(processId))
    this.#endings.set(processId, ending)
  }

  #startProcess(processId: string, settings: ProcessSettings): void {
    const boot: WorkerBoot = { ...this.#workerSettings(processId), parentPid: process.pid }
    const nodeFlags = [...STACK_FLAGS, ...(settings.nodeFlags ?? [])]
    const tagged = { ...settings.env, [WORKER_VARIABLE]: processId }
    const child = this.#spawn(WORKER_ENTRY, { ...settings, nodeFlags, env: tagged }, boot)
    const lastLines = new LastLines()
    const log = (line: string) => this.#notices.log(processId, line)
    readLines(child.stdout!, log)
    const probe = new StackProbe(child)
    readLines(child.stderr!, (line) => {
      const own = probe.ownPart(line)
      if (own === undefined) return
      lastLines.add(own)
      log(own)
    })
    const ended = new Deferred()
    const report = (death: Death) => {
      this.#probes.delete(processId)
      if (!this.#workers.delete(processId)) return
      this.#reapSoon()
      this.#notices.exited(processId, death)
      ended.resolve()
    }
    child.on('error', (error) => report(explainStart(error, settings)))
    child.on('exit', (code, signal) => {
      // Processes that it has started may keep its output open.
      this.#ended(processId, child.pid)
      const aborted = signal === 'SIGABRT' ? explainAbort() : undefined
      void lastOutput(child).then(() => report({ ...lastLines.describe('process', code, signal), ...aborted }))
    })
    this.#probes.set(processId, probe)
    if (child.pid !== undefined) this.#clocks.set(processId, new RunClock(child.pid))
    this.#workers.set(processId, async () => {
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), GRACE)
      await ended.promise
      clearTimeout(timer)
    })
  }

  #startThread(processId: string, { group, gpus }: ThreadPlace, settings: ProcessSettings): void {
    const key = JSON.stringify([group, gpus, settings])
    let threads = this.#threads.get(key)
    if (!threads) {
      const devices = gpus.length > 0 && {
        CUDA_VISIBLE_DEVICES: visibleDevices(gpus, process.env.CUDA_VISIBLE_DEVICES),
      }
      const env = { ...settings.env, ...devices }
      const child = this.#spawn(THREADS_ENTRY, { ...settings, env }, { parentPid: process.pid }, 'ipc')
      threads = new ThreadGroup(child, settings, this.#notices, () => this.#threads.delete(key))
      this.#threads.set(key, threads)
    }
    const started = threads
    started.start(this.#workerSettings(processId))
    if (started.clock) this.#clocks.set(processId, started.clock)
    this.#workers.set(processId, () => started.end(processId))
  }

  async stackOf(processId: string): Promise<Stack> {
    const probe = this.#probes.get(processId)
    if (!probe) throw new InvalidInputError('its process has ended, or it is a thread, whose stack cannot be read')
    return probe.read()
  }

  hadToRun(processId: string): number | undefined {
    return this.#clocks.get(processId)?.look()
  }

  /** Frees what ended workers held; once for all that end together, since it looks at all processes. */
  #reapSoon(): void {
    if (this.#isReaping) return
    this.#isReaping = true
    setImmediate(() => {
      this.#isReaping = false
      this.#settings.store.reap()
    })
  }

  #workerSettings(processId: string): WorkerSettings {
    const { store, ...settings } = this.#settings
    return { ...settings, store: store.handle, processId }
  }

  #spawn(
    entry: string,
    { env, nodeFlags = [], cwd }: ProcessSettings,
    boot: WorkerBoot | ThreadsBoot,
    ...channel: 'ipc'[]
  ): ChildProcess {
    // A session of its own keeps a Ctrl-C in the terminal from the worker: whoever started the cluster decides.
    const child = startProcess([...this.#nodeFlags, ...nodeFlags, ...entryArguments(entry), TITLE_ROOM], {
      detached: true,
      cwd,
      stdio: ['pipe', 'pipe', 'pipe', ...channel],
      env: {
        ...withoutToken(process.env),
        ...env,
        [CLUSTER_VARIABLE]: this.#settings.clusterId,
        [NODE_VARIABLE]: this.#settings.nodeId,
      },
    })
    child.stdin!.on('error', () => {})
    sendBoot(child.stdin!, boot)
    return child
  }
}
