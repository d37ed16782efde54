import { setTimeout as delay } from 'node:timers/promises'
import type { EngineWorker } from './launch.js'
import { type EngineLoad, totalLoad } from './load.js'
import type { Request } from './request.js'
import type { ScheduledStep, Scheduler, StepResult } from './scheduler.js'
import type { StageTimes } from './statistics.js'
import type { WorkerGroup } from './worker-group.js'

/** Milliseconds to wait before each attempt to start workers again in place of some that died. */
const RESTART_DELAYS = [0, 500, 2000, 8000]

/** The listener that is told what becomes of a replica. */
export interface ReplicaListener {
  /** Its workers have died, and these requests are to be taken up by whoever can. */
  lost(requests: readonly Request[], cause: Error): void
  /** It has workers again, or none can be started. */
  settled(): void
}

/** Where a replica gets its workers from. */
export interface WorkerSource {
  start(): Promise<WorkerGroup>
  /** Whether there is a cluster to start any on. */
  isOpen(): Promise<boolean>
}

type State = 'ready' | 'recovering' | 'failed' | 'stopped'

/**
 * One copy of a model, and the requests that it works on. Steps go to all its workers over a graph, some ahead of the one that is
 * computed, so that no worker waits for this process. If a worker dies, all are started anew.
 */
export class Replica {
  #state: State = 'ready'
  #failure: Error | undefined
  #scheduler: Scheduler
  #underWay = 0
  /** Milliseconds in which steps were under way, up to when the last were done; and since when some are. */
  #elapsed = 0
  #began = 0
  #recovery: Promise<void> | undefined
  /** What was counted on workers that have died. */
  #before: Partial<EngineLoad> = {}
  readonly #stopping = new AbortController()

  private constructor(
    private group: WorkerGroup,
    private readonly source: WorkerSource,
    private readonly makeScheduler: () => Scheduler,
    private readonly stepsAhead: number,
    private readonly listener: ReplicaListener,
  ) {
    this.#scheduler = makeScheduler()
  }

  static async start(
    source: WorkerSource,
    makeScheduler: () => Scheduler,
    stepsAhead: number,
    listener: ReplicaListener,
  ): Promise<Replica> {
    return new Replica(await source.start(), source, makeScheduler, stepsAhead, listener)
  }

  get state(): State {
    return this.#state
  }

  /** Why it has no workers, where it has none. */
  get failure(): Error | undefined {
    return this.#failure
  }

  get workers(): readonly EngineWorker[] {
    return this.group.workers
  }

  get load(): EngineLoad {
    return totalLoad([this.#before, this.#scheduler.load])
  }

  /** Tokens to be computed until it is done with all requests and this one, at most. */
  workWith(request: Request): number {
    return this.#scheduler.work + request.cacheTokens - this.#scheduler.cachedTokens(request)
  }

  add(request: Request): void {
    this.#scheduler.add(request)
    this.#advance()
  }

  /** Drops a request, if it is here. */
  cancel(request: Request): void {
    if (this.#state !== 'ready') return
    this.#scheduler.cancel(request)
    this.#advance()
  }

  /** Milliseconds in which steps were under way. */
  get elapsed(): number {
    return this.#elapsed + (this.#underWay > 0 ? performance.now() - this.#began : 0)
  }

  /** The times of each stage's workers, on average, since they were started. */
  async stageTimes(stages: number): Promise<StageTimes[]> {
    if (this.#state === 'ready') return this.group.stageTimes(stages)
    return Array.from({ length: stages }, () => ({ busy: 0, transfer: 0 }))
  }

  /** Ends the workers; its requests fail with the reason. */
  async stop(reason: Error): Promise<void> {
    const wasReady = this.#state === 'ready'
    this.#state = 'stopped'
    this.#failure = reason
    for (const { listener } of this.#scheduler.drain()) listener.fail(reason)
    this.#stopping.abort()
    if (wasReady) await this.group.stop()
    await this.#recovery
  }

  #advance(): void {
    while (this.#state === 'ready' && this.#underWay < this.stepsAhead) {
      const next = this.#scheduler.next()
      if (!next) return
      if (this.#underWay++ === 0) this.#began = performance.now()
      void this.#run(next, this.group)
    }
  }

  async #run(scheduled: ScheduledStep, group: WorkerGroup): Promise<void> {
    let result: StepResult
    try {
      result = await group.run(scheduled.step)
    } catch (error) {
      if (this.group === group && this.#state === 'ready') this.#recovery = this.#recover(error as Error)
      return
    }
    if (this.group !== group || this.#state !== 'ready') return
    if (--this.#underWay === 0) this.#elapsed += performance.now() - this.#began
    this.#scheduler.complete(scheduled, result)
    this.#advance()
  }

  async #recover(error: Error): Promise<void> {
    this.#state = 'recovering'
    this.#elapsed = this.elapsed
    this.#underWay = 0
    const lost = this.#scheduler.drain()
    this.#failure = await this.group.causeOf(error)
    await this.group.kill()
    this.listener.lost(lost, this.#failure)
    for (const wait of RESTART_DELAYS) {
      await delay(wait, undefined, { signal: this.#stopping.signal }).catch(() => {})
      if (this.isStopped) return
      try {
        const group = await this.source.start()
        // The state may have changed while they were started.
        if (this.isStopped) return await group.stop()
        this.group = group
        this.#before = this.#ended()
        this.#scheduler = this.makeScheduler()
        this.#state = 'ready'
        this.#failure = undefined
        return this.listener.settled()
      } catch (failure) {
        this.#failure = failure as Error
        if (!(await this.source.isOpen())) break
      }
    }
    if (this.isStopped) return
    this.#state = 'failed'
    this.listener.settled()
  }

  /** What was counted up to now, when other workers go on. */
  #ended(): Partial<EngineLoad> {
    const { steps, queriedTokens, cachedTokens, preemptions, restarts } = this.load
    return { steps, queriedTokens, cachedTokens, preemptions, restarts: restarts + 1 }
  }

  private get isStopped(): boolean {
    return this.#state === 'stopped'
  }
}
