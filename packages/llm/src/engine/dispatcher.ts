import { type EngineLoad, totalLoad } from './load.js'
import type { Replica, ReplicaListener } from './replica.js'
import type { Request } from './request.js'

/** How often workers may die in a row under a request that gets nowhere meanwhile, before it is taken for the reason. */
const MOST_DEATHS = 3

/**
 * Gives requests to replicas: each to the one that is done with it first. The requests of one whose workers die go on
 * elsewhere from what is known of their texts, or on the same one as soon as it has workers again.
 */
export class Dispatcher implements ReplicaListener {
  #replicas: readonly Replica[] = []
  /** Requests for which no replica has workers. */
  readonly #waiting = new Set<Request>()

  /** @param startReplica starts a replica that tells this dispatcher what becomes of it */
  static async start(count: number, startReplica: (replica: number, listener: ReplicaListener) => Promise<Replica>) {
    const dispatcher = new Dispatcher()
    const started = await Promise.allSettled(Array.from({ length: count }, (_, i) => startReplica(i, dispatcher)))
    const replicas = started.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    const failed = started.find((result) => result.status === 'rejected')
    if (failed) {
      await Promise.all(replicas.map((replica) => replica.stop(failed.reason as Error)))
      throw failed.reason
    }
    dispatcher.#replicas = replicas
    return dispatcher
  }

  get replicas(): readonly Replica[] {
    return this.#replicas
  }

  get load(): EngineLoad {
    return totalLoad([{ waiting: this.#waiting.size }, ...this.#replicas.map(({ load }) => load)])
  }

  /** @throws Error saying why no replica has workers, if none will have any */
  add(request: Request): void {
    const ready = this.#replicas.filter(({ state }) => state === 'ready')
    const [only] = ready
    if (!only) {
      if (!this.#replicas.some(({ state }) => state === 'recovering')) throw this.#replicas[0]!.failure
      this.#waiting.add(request)
      return
    }
    if (ready.length === 1) only.add(request)
    else
      ready
        .map((replica) => ({ replica, work: replica.workWith(request) }))
        .reduce((a, b) => (b.work < a.work ? b : a))
        .replica.add(request)
  }

  cancel(request: Request): void {
    request.isCancelled = true
    this.#waiting.delete(request)
    for (const replica of this.#replicas) replica.cancel(request)
  }

  lost(requests: readonly Request[], cause: Error): void {
    for (const request of requests) {
      if (request.survive() <= MOST_DEATHS) this.#addAgain(request)
      else request.listener.fail(cause)
    }
  }

  settled(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const request of waiting) this.#addAgain(request)
  }

  async stop(reason: Error): Promise<void> {
    for (const { listener } of this.#waiting) listener.fail(reason)
    this.#waiting.clear()
    await Promise.all(this.#replicas.map((replica) => replica.stop(reason)))
  }

  #addAgain(request: Request): void {
    if (request.isCancelled) return
    try {
      this.add(request)
    } catch (error) {
      request.listener.fail(error as Error)
    }
  }
}
