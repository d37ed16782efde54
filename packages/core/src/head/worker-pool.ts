import { resolve } from 'node:path'
import { Deferred } from '../common/deferred.js'
import { whileRunning } from '../common/run-clock.js'
import { LATE, within } from '../common/timer.js'
import type { Death, ProcessSettings, ThreadPlace, WorkerFolders } from '../protocol/actor.js'
import type { DirectoryId } from '../protocol/directory-id.js'
import type { NodeService, WorkerService } from '../protocol/services.js'
import { Semaphore } from '../runtime/semaphore.js'
import { ipcEndpoint, type ProcessAddress, randomId } from '../transport/connection-manager.js'
import { control, type Remote } from '../transport/control.js'
import { LinkLostError } from '../transport/link.js'
import type { Peer } from '../transport/peer.js'
import type { Node } from './records.js'

/** Milliseconds of running that a worker may take to start, from when its turn has come. */
export const START_TIMEOUT = 60_000
/** Milliseconds from the end of a process's connection to the report of its end, which waits for its last output. */
const EXIT_REPORT = 30_000
/** Workers that may start at the same time on a node of fewer CPUs. */
const LEAST_STARTS = 2

/**
 * Milliseconds that a start keeps its turn: one that takes longer, as of a process that is stopped, goes on beside the next.
 */
const TURN = 10_000

/** Workers without work that a node keeps beyond its CPUs. */
const SPARE = 2

/**
 * The user of a worker: the name that its lines are logged by, its driver, and the namespace that its names are looked up
 * in.
 */
export interface WorkerHolder {
  readonly name: string
  readonly driver: string
  readonly namespace: string
  /** The working directory of that driver. */
  readonly directory?: DirectoryId | undefined
  /** The prefix of each line of its output; by default its name. */
  readonly logPrefix?: string | undefined
  /** Whether the worker is not needed any more, so that it need not be started. */
  isDropped?(): boolean
  exited(death: Death): void
}

/** A place to start and end workers: a node, or the process that a local worker is in. */
export interface WorkerPlace {
  /** The node's. */
  readonly id: string
  readonly cpus: number
  readonly agent: Pick<Remote<NodeService>, 'startWorker' | 'endWorker' | 'stackOf' | 'hadToRun'>
}

/** A worker of the cluster. */
export class WorkerProcess {
  readonly processId = randomId()
  pid = 0
  holder: WorkerHolder | undefined
  /** Whether its actor is to be told before it ends. */
  mustFinish = false
  /** The error that it threw outside of a call. */
  failure: unknown
  /** The reason why it is being ended. */
  ending: Death | undefined
  /** The reason why it ended, once it has. */
  death: Death | undefined
  #tcp: string | undefined
  #peer: Peer | undefined
  readonly #joined = new Deferred()
  readonly joined = this.#joined.promise
  readonly #exited = new Deferred<Death>()
  readonly exited = this.#exited.promise
  /** The modules that it is to import, by whose they are. */
  readonly #importing = new Map<string, Deferred>()

  constructor(readonly node: WorkerPlace) {}

  get address(): ProcessAddress {
    return { processId: this.processId, nodeId: this.node.id, ipc: ipcEndpoint(this.processId), tcp: this.#tcp }
  }

  /** Its connection with the head, once it has joined. */
  get peer(): Peer | undefined {
    return this.#peer
  }

  /** Whether its connection with the head has ended, as it does with the process. */
  get isDisconnected(): boolean {
    return this.#peer?.isLost ?? false
  }

  /** Resolves when it has answered, has ended, or lets nobody know which of them. */
  async livesOrExited(): Promise<void> {
    const answer = this.isDisconnected ? [] : [this.service.answer().catch(() => this.#exitedSoon())]
    await Promise.race([this.#exitedSoon(), ...answer])
  }

  /** Resolves when it has ended, or that has not been reported long after its connection broke. */
  async #exitedSoon(): Promise<void> {
    await within(this.exited, EXIT_REPORT)
  }

  /** The requests that it serves to the head; only once it has joined. */
  get service(): Remote<WorkerService> {
    return control<WorkerService>(this.#peer!)
  }

  /** Asks it to end by itself. */
  async leave(): Promise<void> {
    if (this.#peer) await this.service.leave().catch(() => {})
  }

  /** Ends its connection with the head, for a worker that does not end by itself. */
  disconnect(reason: string): void {
    this.#peer?.disconnect(new LinkLostError(reason))
  }

  join(peer: Peer, pid: number, tcp: string | undefined): void {
    this.#peer = peer
    this.pid = pid
    this.#tcp = tcp
    this.#joined.resolve()
  }

  exit(death: Death): void {
    this.death = death
    this.#exited.resolve(death)
    this.holder?.exited(death)
  }

  /**
   * Resolves when it has said that it has imported the module of its actor or of a function, or LATE once it has had the time
   * for that; rejects with a WorkerExit when it has ended. Call it when the worker is asked to import the module.
   *
   * @param mustImport its answer
   */
  async untilImported(what: string, timeout: number, mustImport: Promise<boolean>): Promise<typeof LATE | undefined> {
    const said = new Deferred()
    this.#importing.set(what, said)
    const imported = mustImport.then((must) => (must ? this.unlessExited(said.promise) : undefined))
    try {
      return (await this.within(imported, timeout)) === LATE ? LATE : undefined
    } finally {
      this.#importing.delete(what)
    }
  }

  imported(what: string): void {
    this.#importing.get(what)?.resolve()
  }

  /**
   * Resolves as a promise does, or with LATE once the worker's process has had so many milliseconds to run, or `most` have
   * passed.
   */
  within<T>(promise: Promise<T>, milliseconds: number, most?: number): Promise<T | typeof LATE> {
    return whileRunning(promise, milliseconds, () => this.node.agent.hadToRun(this.processId), most)
  }

  /** Settles as a request to the worker does, but says why the process ended if that comes first. */
  async unlessExited<T>(request: Promise<T>): Promise<T> {
    const exited = this.exited.then((death) => {
      throw new WorkerExit(death)
    })
    exited.catch(() => {})
    const answer = request.catch(async (error) => {
      // A connection breaks a little before the exit of its process is known.
      if (error instanceof LinkLostError) await this.#exitedSoon()
      throw this.death ? new WorkerExit(this.death) : error
    })
    return Promise.race([answer, exited])
  }
}

/** A worker process ended before it did what it was asked for. */
export class WorkerExit extends Error {
  constructor(readonly death: Death) {
    super(death.reason)
  }
}

/** The error of a request of a node that cannot be asked any more. */
function nodeLost(error: unknown): unknown {
  if (!(error instanceof LinkLostError)) return error
  return new WorkerExit({ reason: `its node was lost before it had started: ${error.message}` })
}

/** Workers are used again by the same driver in the same directory. */
function userOf({ driver, directory = '' }: Pick<WorkerHolder, 'driver' | 'directory'>): string {
  return `${driver} ${directory}`
}

/** The reason to end a worker whose module does not get imported: nobody would ever hear of it. */
export function notImported(module: string, timeout: number): string {
  const advice = 'see what it does or awaits at its top level, or raise startTimeout'
  return `module ${module} was not imported within ${timeout / 1000} s; ${advice}`
}

/** Has a node get a working directory; where a worker of its driver then is. */
export async function prepareFolders(
  { agent }: Node,
  directory: DirectoryId | undefined,
  cwd = '',
): Promise<WorkerFolders | undefined> {
  if (directory === undefined) return undefined
  const root = await agent.prepareDirectory(directory).catch((error) => {
    throw nodeLost(error)
  })
  return { root, cwd: resolve(root, cwd) }
}

const IDLE: WorkerHolder = { name: 'idle', driver: '', namespace: '', exited() {} }

/** The worker processes of the cluster. */
export class WorkerPool {
  readonly #workers = new Map<string, WorkerProcess>()
  /** Workers without work, with their last users; workers that have run no tasks are anybody's. */
  readonly #idle = new Map<WorkerProcess, string | undefined>()
  /** The turns in which the workers of each node start: more at a time than its CPUs would all be late. */
  readonly #turns = new WeakMap<WorkerPlace, Semaphore>()
  /** Workers that were started before there was work for them, and have not joined yet. */
  readonly #starting = new Map<Promise<WorkerProcess>, Node>()

  /**
   * Starts a worker, when it is its turn on its node.
   *
   * @param thread makes it a thread of a process
   * @param timeout milliseconds of running that it may take, from when its turn has come
   * @throws WorkerExit if it ends before it has joined, takes too long, or is not needed any more
   */
  async start(
    node: WorkerPlace,
    settings: ProcessSettings,
    holder: WorkerHolder,
    { thread, timeout = START_TIMEOUT }: { thread?: ThreadPlace | undefined; timeout?: number | undefined } = {},
  ): Promise<WorkerProcess> {
    // A worker in a thread that runs already needs no CPU of its own to start.
    if (node.cpus === 0) return this.#start(node, settings, holder, thread, timeout)
    let turns = this.#turns.get(node)
    if (!turns) {
      turns = new Semaphore(Math.max(LEAST_STARTS, node.cpus))
      this.#turns.set(node, turns)
    }
    await turns.enter()
    let hasTurn = true
    const leave = () => {
      if (hasTurn) turns.leave()
      hasTurn = false
    }
    const timer = setTimeout(leave, TURN)
    try {
      if (holder.isDropped?.())
        throw new WorkerExit({ reason: 'it was not needed any more when its turn to start came' })
      return await this.#start(node, settings, holder, thread, timeout)
    } catch (error) {
      throw nodeLost(error)
    } finally {
      clearTimeout(timer)
      leave()
    }
  }

  async #start(
    node: WorkerPlace,
    settings: ProcessSettings,
    holder: WorkerHolder,
    thread: ThreadPlace | undefined,
    timeout: number,
  ): Promise<WorkerProcess> {
    const worker = new WorkerProcess(node)
    worker.holder = holder
    this.#workers.set(worker.processId, worker)
    const started = worker.unlessExited(
      Promise.all([worker.joined, node.agent.startWorker({ processId: worker.processId, ...settings, thread })]),
    )
    if ((await worker.within(started, timeout)) === LATE) {
      void this.end(worker, { reason: `its process did not start within ${timeout / 1000} s` })
      await started
    }
    return worker
  }

  /** A worker on a node: one that waits for work if there is one, else a new one, which has `timeout` milliseconds to start. */
  async take(node: WorkerPlace, holder: WorkerHolder, mayHaveRun = true, timeout?: number): Promise<WorkerProcess> {
    for (const [worker, user] of this.#idle) {
      if (worker.node !== node || (user !== undefined && !(mayHaveRun && user === userOf(holder)))) continue
      this.#idle.delete(worker)
      worker.holder = holder
      return worker
    }
    for (const [starting, place] of this.#starting) {
      if (place !== node) continue
      this.#starting.delete(starting)
      const worker = await starting
      worker.holder = holder
      return worker
    }
    return this.start(node, {}, holder, { timeout })
  }

  /** Starts workers that wait for work, as many as a node has CPUs. */
  prestart(node: Node): void {
    const idle = [...this.#idle].filter(([worker]) => worker.node === node).length
    const waiting = [...this.#starting.values()].filter((place) => place === node).length
    for (let count = idle + waiting; count < node.cpus; count++) {
      const starting = this.start(node, {}, IDLE)
      this.#starting.set(starting, node)
      starting
        .then((worker) => {
          if (this.#starting.delete(starting)) this.#idle.set(worker, undefined)
        })
        .catch(() => this.#starting.delete(starting))
    }
  }

  /** A worker has no work any more. It is kept for further tasks of its driver unless enough of them wait already. */
  rest(worker: WorkerProcess): void {
    const user = userOf(worker.holder!)
    worker.holder = { ...IDLE, driver: worker.holder!.driver }
    const waiting = [...this.#idle].filter(([idle]) => idle.node === worker.node).length
    this.#idle.set(worker, user)
    if (waiting >= worker.node.cpus + SPARE) void this.#retire(worker)
  }

  /** A worker that was not ended because of what it held holds nothing any more. */
  spared(worker: WorkerProcess): void {
    const waiting = [...this.#idle].filter(([idle]) => idle.node === worker.node).length
    if (this.#idle.has(worker) && waiting > worker.node.cpus + SPARE) void this.#retire(worker)
  }

  /** Ends a worker that waits for work, unless others need what it holds. */
  async #retire(worker: WorkerProcess): Promise<void> {
    const driver = this.#idle.get(worker)
    // Nobody may take it while it is asked.
    this.#idle.delete(worker)
    const isSpare = await worker.service.isSpare().catch(() => true)
    if (isSpare) await this.end(worker, { reason: 'it was not needed any more' })
    else if (this.#workers.has(worker.processId)) this.#idle.set(worker, driver)
  }

  /** Ends the workers that wait for further tasks of a driver. */
  async driverGone(driver: string): Promise<void> {
    const own = [...this.#workers.values()].filter(
      ({ holder }) => holder?.name === IDLE.name && holder.driver === driver,
    )
    await Promise.all(own.map((worker) => this.end(worker, { reason: 'its driver has ended' })))
  }

  of(processId: string): WorkerProcess | undefined {
    return this.#workers.get(processId)
  }

  /** Ends a worker process; resolves when it has ended. */
  async end(worker: WorkerProcess, death: Death): Promise<void> {
    this.#idle.delete(worker)
    worker.ending ??= death
    // A node that cannot be asked is lost, and its workers with it.
    await worker.node.agent.endWorker(worker.processId).catch(() => {})
    this.exited(worker.processId, death)
  }

  /** A worker process has ended. */
  exited(processId: string, death: Death): void {
    const worker = this.#workers.get(processId)
    if (!worker) return
    this.#workers.delete(processId)
    this.#idle.delete(worker)
    // Of one that is ended the node only knows the signal.
    const why = worker.ending ?? death
    worker.exit(worker.failure === undefined ? why : { ...why, cause: worker.failure })
  }

  /** The workers that have not ended: each with the process that it is. */
  running(): string[] {
    return [...this.#workers.values()].map(({ holder, pid, ending }) => {
      return `${holder?.name} (process ${pid || 'that has not joined'}${ending ? `, being ended: ${ending.reason}` : ''})`
    })
  }

  /** The connections of those that have joined, by their process ids. */
  peers(): [processId: string, peer: Peer][] {
    return [...this.#workers].flatMap(([id, { peer }]) => (peer ? [[id, peer]] : []))
  }

  nodeLost(nodeId: string, reason: string): void {
    for (const worker of [...this.#workers.values()]) {
      if (worker.node.id === nodeId) this.exited(worker.processId, { reason })
    }
  }
}
