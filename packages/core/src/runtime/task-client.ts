import { describe } from '../common/describe.js'
import {
  InvalidInputError,
  LostArgumentError,
  ObjectLostError,
  QueueFullError,
  WorkerDiedError,
} from '../common/errors.js'
import { type Death, TASK, TASK_OF_SEVERAL } from '../protocol/actor.js'
import type { Inventory } from '../protocol/listing.js'
import type { Lease, PlaceRequest } from '../protocol/placement.js'
import type { AnswerHandler } from '../transport/handlers.js'
import type { LinkLostError } from '../transport/link.js'
import type { Peer } from '../transport/peer.js'
import { Call, type CallOwner, callerOf } from './call.js'
import type { CallOptions } from './call-options.js'
import { Lineage } from './lineage.js'
import { Outgoing } from './outgoing.js'
import { ObjectRef } from './ref.js'
import { RemoteRefState, type RemoteValue } from './remote-ref-state.js'
import { RemoteResultRef } from './remote-result-ref.js'
import type { Origin } from './remote-result-table.js'
import type { Runtime } from './runtime.js'

/** Tasks of one function that may be unfinished in a process; further ones fail. */
const MAX_QUEUED = 100_000
/** Workers that one function may use at a time. */
const MAX_LEASES = 256
/** Requests for workers that one function may have under way. */
const MAX_ASKED = 8
/** Milliseconds that a worker is kept for the next task of the same function. */
const KEEP = 100
/** Milliseconds after which a worker is given back although more tasks wait, so that others get their turn. */
const TURN = 1000
const MAX_RETRIES = 3

let tasks = 0

/** Options of the tasks of a function. */
export interface TaskSettings extends CallOptions {
  /** The number of times that a task is run again when its process dies; 3 by default. */
  readonly maxRetries?: number
  readonly retryExceptions?: boolean | ((error: unknown) => boolean)
  readonly numReturns?: number
  /** Milliseconds that the import of its module may take. */
  readonly startTimeout: number
  /** The resources that they need, and where they may run. */
  readonly place: PlaceRequest
}

/** A worker that this process may use. */
interface Worker {
  readonly lease: Lease
  readonly peer: Peer
  /** The time when it was leased. */
  readonly since: number
  timer?: NodeJS.Timeout
}

/** This process's side of the tasks of one function: asks for workers, and runs one task at a time on each. */
export class TaskClient implements CallOwner {
  readonly #queue: Outgoing[] = []
  readonly #kept = new Map<Call, Outgoing>()
  readonly #running = new Map<Call, Worker>()
  readonly #idle: Worker[] = []
  /** Calls that compute a lost result again; their results go to its lineage as they come. */
  readonly #again = new Set<Call>()
  /** The lineages of calls with several results. */
  readonly #lineages = new WeakMap<Call, Lineage>()
  #asked = 0

  constructor(
    private readonly runtime: Runtime,
    private readonly key: string,
    private readonly name: string,
    private readonly options: TaskSettings,
  ) {}

  call(args: unknown[]): ObjectRef<unknown> {
    return this.#start(args).ref
  }

  stream(args: unknown[]): AsyncIterable<unknown> {
    const call = this.#start(args)
    return { [Symbol.asyncIterator]: () => call.iterate() }
  }

  /** A ref of each of the values that the function returns in an array. */
  callMany(args: unknown[], count: number): ObjectRef<unknown>[] {
    const call = this.#start(args)
    const { ref } = call
    const values = ref.then((value) => {
      if (Array.isArray(value) && value.length === count) return value as unknown[]
      const found = Array.isArray(value) ? `${value.length} values` : typeof value
      throw new InvalidInputError(`${this.name} must return an array of numReturns: ${count} values, found ${found}`)
    })
    return Array.from({ length: count }, (_, index) => {
      let settle!: { resolve: (value: unknown) => void; reject: (error: unknown) => void }
      const cancel = (reason?: unknown) => ref.cancel(reason)
      const executor = (resolve: (value: unknown) => void, reject: (error: unknown) => void) => {
        settle = { resolve, reject }
      }
      const one = new ObjectRef<unknown>(executor, `${ref.id}.${index}`, { cancel })
      values.then((all) => {
        const value = all[index]
        if (!(value instanceof RemoteResultRef)) settle.resolve(value)
        else {
          const origin = this.#lineages.get(call)?.part(index) ?? this.#lostForGood()
          const remote = this.runtime.results.adopt(one, value, origin)
          one.locate(new RemoteRefState(remote, settle.resolve, settle.reject))
        }
      }, settle.reject)
      one.quietly(() => {})
      return one
    })
  }

  adopt(call: Call, held: RemoteResultRef): RemoteValue | undefined {
    if (this.#again.has(call)) return undefined
    return this.runtime.results.adopt(call.ref, held, this.#lineageOf(call)?.part() ?? this.#lostForGood())
  }

  /** The tasks that have no outcome yet. */
  list(): Inventory['tasks'] {
    return [...this.#kept.values()].map(({ call, isReady, since }) => {
      const lease = this.#running.get(call)?.lease.id
      const state = lease !== undefined ? 'running' : isReady ? 'queued' : 'waiting'
      return { name: this.name, state, age: (performance.now() - since) / 1000, lease }
    })
  }

  lost(call: Call, error: LinkLostError): void {
    const worker = this.#running.get(call)
    this.#running.delete(call)
    void this.#death(worker).then((death) => {
      const reason = death?.reason ?? error.message
      if (death?.isRefused) this.#refused(call, death.cause ?? new WorkerDiedError(this.name, reason))
      else if (!this.#retry(call)) call.failure(new WorkerDiedError(this.name, reason))
    })
  }

  settled(call: Call): void {
    if (!this.#again.delete(call)) this.#kept.get(call)?.done()
    else this.#kept.get(call)?.keep()
    this.#kept.delete(call)
    if (this.#kept.size === 0) this.runtime.busyTasks.delete(this)
    const worker = this.#running.get(call)
    this.#running.delete(call)
    // A cancelled task may still run; a worker is used again only when it is known to be free.
    if (worker) this.#free(worker, call.isCancelled ? 'busy' : 'idle')
    else if (this.#queue[0]?.call.isSettled) this.#pump()
  }

  #start(args: unknown[]): Call {
    const number = ++tasks
    const id = `${this.runtime.self.processId}:task:${number}`
    const call = new Call(id, this.name, callerOf(), this, this.options)
    if (call.isSettled) return call
    try {
      if (this.#kept.size >= MAX_QUEUED) {
        throw new QueueFullError(`${MAX_QUEUED} tasks of ${this.name} are unfinished already; await some of them first`)
      }
      const letGo = this.runtime.connections.hold()
      const outgoing = new Outgoing(number, call, this.key, args, true, this.#maxRetries, letGo)
      this.#kept.set(call, outgoing)
      this.runtime.busyTasks.add(this)
      if (outgoing.isReady) this.#enqueue(outgoing)
      else {
        outgoing.resolve().then(
          () => this.#enqueue(outgoing),
          (error) => call.failure(error),
        )
      }
    } catch (error) {
      call.failure(error)
    }
    return call
  }

  get #maxRetries(): number {
    return this.options.maxRetries ?? MAX_RETRIES
  }

  /** Keeps a call beyond its outcome, for results that may be lost; undefined if it may not be made again. */
  #lineageOf(call: Call): Lineage | undefined {
    const outgoing = this.#kept.get(call)
    if (!outgoing || this.#maxRetries === 0) return undefined
    this.#kept.delete(call)
    outgoing.keep()
    return new Lineage(this.name, outgoing, this.#maxRetries, (lost, retries) => this.#recompute(lost, retries))
  }

  #lostForGood(): Origin {
    return {
      again: async ({ holder }) => {
        const where = `the process ${holder.processId} of node ${holder.nodeId}`
        throw new ObjectLostError(`a result of the task ${this.name} was lost with ${where}, and maxRetries is 0`)
      },
      done() {},
    }
  }

  /** Runs a task again for a result that was lost. */
  #recompute(outgoing: Outgoing, retries: number): Promise<unknown> {
    const call = new Call(`${this.runtime.self.processId}:task:${++tasks}`, this.name, callerOf(), this)
    outgoing.again(call, retries, this.runtime.connections.hold())
    this.#again.add(call)
    this.#kept.set(call, outgoing)
    this.#enqueue(outgoing)
    return Promise.resolve(call.ref)
  }

  #enqueue(outgoing: Outgoing): void {
    this.#queue.push(outgoing)
    this.#pump()
  }

  /** Queues a task again if it has retries left. */
  #retry(call: Call): boolean {
    const outgoing = this.#kept.get(call)
    if (!outgoing || outgoing.retries <= 0 || call.isStreaming || call.isSettled) return false
    outgoing.retries -= 1
    this.#queue.unshift(outgoing)
    this.#pump()
    return true
  }

  #pump(): void {
    while (this.#queue[0]?.call.isSettled) this.#queue.shift()
    while (this.#queue.length > 0 && this.#idle.length > 0) {
      const worker = this.#idle.pop()!
      clearTimeout(worker.timer)
      if (worker.peer.isLost) void this.#death(worker)
      else this.#run(this.#queue.shift()!, worker)
      while (this.#queue[0]?.call.isSettled) this.#queue.shift()
    }
    const wanted = Math.min(this.#queue.length, MAX_LEASES - this.#running.size, MAX_ASKED)
    while (this.#asked < wanted) void this.#ask()
  }

  #run(outgoing: Outgoing, worker: Worker): void {
    const { call } = outgoing
    this.#running.set(call, worker)
    try {
      const encoded = outgoing.encoded(worker.peer.sameNode)
      const target = this.options.numReturns === undefined ? TASK : TASK_OF_SEVERAL
      const answer = this.#answerTo(outgoing, worker)
      call.sent(worker.peer, worker.peer.request({ target, method: this.key, ...encoded }, answer))
    } catch (error) {
      call.failure(error)
    }
  }

  /** Runs the task again where it threw and retries were asked for, or where an argument was lost before it began. */
  #answerTo(outgoing: Outgoing, worker: Worker): AnswerHandler {
    const { call } = outgoing
    const { retryExceptions = false, numReturns } = this.options
    if (!retryExceptions && numReturns === undefined && !outgoing.hasRemote) return call
    const failure = (error: unknown) => {
      this.#running.delete(call)
      if (error instanceof LostArgumentError) void this.#recoverArguments(outgoing, error)
      else this.#failed(call, error)
      this.#free(worker, 'idle')
    }
    const result = (value: unknown) => {
      const isHeld =
        Array.isArray(value) && value.length === numReturns && value.some((item) => item instanceof RemoteResultRef)
      const lineage = isHeld && !this.#again.has(call) && !call.isSettled ? this.#lineageOf(call) : undefined
      if (lineage) this.#lineages.set(call, lineage)
      call.result(value)
    }
    return {
      result,
      item: (value) => call.item(value),
      end: () => call.end(),
      lost: (error) => call.lost(error),
      failure,
    }
  }

  /** The task threw; what decides about that may throw too. */
  #failed(call: Call, error: unknown): void {
    const { retryExceptions = false } = this.options
    try {
      const applies = typeof retryExceptions === 'function' ? retryExceptions(error) : retryExceptions
      if (applies && this.#retry(call)) return
    } catch (thrown) {
      const text = `retryExceptions of ${this.name} threw ${describe(thrown)}, when asked about: ${describe(error)}`
      call.failure(new InvalidInputError(text, { cause: thrown }))
      return
    }
    call.failure(error)
  }

  /** The task has not begun; it is queued again once the argument can be had. */
  async #recoverArguments(outgoing: Outgoing, { holder }: LostArgumentError): Promise<void> {
    const { call } = outgoing
    try {
      await this.runtime.connections.awaiting(outgoing.recover(holder))
      if (!call.isSettled) this.#enqueue(outgoing)
    } catch (error) {
      call.failure(error)
    }
  }

  async #ask(): Promise<void> {
    this.#asked += 1
    try {
      const { startTimeout, place } = this.options
      const request = { what: this.name, method: this.key, startTimeout, ...place }
      const lease = await this.runtime.head.lease(request)
      this.#asked -= 1
      if (this.#queue.length === 0) void this.runtime.head.endLease(lease.id, 'idle').catch(() => {})
      else this.#free({ lease, peer: this.runtime.reach(lease.address), since: Date.now() }, 'idle')
    } catch (error) {
      this.#asked -= 1
      for (const { call } of this.#queue.splice(0)) call.failure(error)
    }
  }

  #free(worker: Worker, how: 'idle' | 'busy'): void {
    if (how === 'busy' || worker.peer.isLost) {
      void this.runtime.head.endLease(worker.lease.id, worker.peer.isLost ? 'lost' : 'busy').catch(() => {})
      this.#pump()
      return
    }
    if (this.#queue.length > 0 && Date.now() - worker.since > TURN) {
      void this.runtime.head.endLease(worker.lease.id, 'idle').catch(() => {})
      this.#pump()
      return
    }
    this.#idle.push(worker)
    worker.timer = setTimeout(() => this.#giveBack(worker), KEEP)
    worker.timer.unref()
    this.#pump()
  }

  #giveBack(worker: Worker): void {
    const index = this.#idle.indexOf(worker)
    if (index < 0) return
    this.#idle.splice(index, 1)
    void this.runtime.head.endLease(worker.lease.id, 'idle').catch(() => {})
  }

  /** Fails a call that could not run, and all that wait: none would run anew, nor any other task of the function. */
  #refused(call: Call, error: unknown): void {
    call.failure(error)
    for (const { call } of this.#queue.splice(0)) call.failure(error)
  }

  /** The death of a worker whose connection broke. */
  async #death(worker: Worker | undefined): Promise<Death | undefined> {
    return worker && (await this.runtime.head.endLease(worker.lease.id, 'lost').catch(() => undefined))
  }
}
