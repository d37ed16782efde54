import { Call, type CallOwner } from '../api/call.js'
import { InvalidInputError, QueueFullError, WorkerDiedError } from '../api/errors.js'
import { callerOf } from '../api/origin.js'
import { placeRequest } from '../api/place-options.js'
import { ObjectRef } from '../api/ref.js'
import type { TaskOptions } from '../api/remote.js'
import { type Inventory, type Lease, TASK } from '../cluster/protocol.js'
import type { LinkLostError } from '../transport/link.js'
import type { Answer, Peer } from '../transport/peer.js'
import { Outgoing } from './outgoing.js'
import type { Runtime } from './runtime.js'

/** Tasks of one function that may wait in a process; further ones fail. */
const MAX_QUEUED = 100_000
/** Workers that one function may use at a time. */
const MAX_LEASES = 256
/** Requests for workers that one function may have under way. */
const MAX_ASKED = 8
/** Milliseconds that a worker is kept for the next task of the same function. */
const KEEP = 100
const MAX_RETRIES = 3

let tasks = 0

/** A worker that this process may use. */
interface Worker {
  readonly lease: Lease
  readonly peer: Peer
  timer?: NodeJS.Timeout
}

/** This process's side of the tasks of one function: asks for workers, and runs one task at a time on each. */
export class TaskClient implements CallOwner {
  readonly #queue: Outgoing[] = []
  readonly #kept = new Map<Call, Outgoing>()
  readonly #running = new Map<Call, Worker>()
  readonly #idle: Worker[] = []
  #asked = 0

  constructor(
    private readonly runtime: Runtime,
    private readonly key: string,
    private readonly name: string,
    private readonly options: TaskOptions,
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
    const { ref } = this.#start(args)
    const values = ref.then((value) => {
      if (Array.isArray(value) && value.length === count) return value
      const found = Array.isArray(value) ? `${value.length} values` : typeof value
      throw new InvalidInputError(`${this.name} must return an array of numReturns: ${count} values, found ${found}`)
    })
    return Array.from({ length: count }, (_, index) => {
      const part = values.then((all) => all[index])
      const cancel = (reason?: unknown) => ref.cancel(reason)
      const one = new ObjectRef<unknown>((resolve, reject) => part.then(resolve, reject), `${ref.id}.${index}`, {
        cancel,
      })
      one.catch(() => {})
      return one
    })
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
    void this.#reason(worker, error).then((reason) => {
      if (!this.#again(call)) call.failure(new WorkerDiedError(this.name, reason))
    })
  }

  settled(call: Call): void {
    this.#kept.get(call)?.done()
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
      if (this.#queue.length >= MAX_QUEUED) {
        throw new QueueFullError(`${MAX_QUEUED} tasks of ${this.name} wait already; await some of them first`)
      }
      const retries = this.options.maxRetries ?? MAX_RETRIES
      const letGo = this.runtime.switchboard.hold()
      const outgoing = new Outgoing(number, call, this.key, args, true, retries, letGo)
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

  #enqueue(outgoing: Outgoing): void {
    this.#queue.push(outgoing)
    this.#pump()
  }

  /** Queues a task again if it has retries left. */
  #again(call: Call): boolean {
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
      if (worker.peer.isLost) void this.#reason(worker, undefined)
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
      const answer = this.#retrying(call, worker)
      call.sent(worker.peer, worker.peer.request({ target: TASK, method: this.key, ...encoded }, answer))
    } catch (error) {
      call.failure(error)
    }
  }

  /** Runs the task again where it threw and retries were asked for. */
  #retrying(call: Call, worker: Worker): Answer {
    const { retryExceptions = false } = this.options
    if (!retryExceptions) return call
    const failure = (error: unknown) => {
      const applies = retryExceptions === true || retryExceptions(error)
      this.#running.delete(call)
      if (!applies || !this.#again(call)) call.failure(error)
      this.#free(worker, 'idle')
    }
    return {
      result: (value) => call.result(value),
      item: (value) => call.item(value),
      end: () => call.end(),
      lost: (error) => call.lost(error),
      failure,
    }
  }

  async #ask(): Promise<void> {
    this.#asked += 1
    try {
      const request = { what: this.name, ...placeRequest(this.options, { cpu: 1 }) }
      const lease = await this.runtime.head.lease(request)
      this.#asked -= 1
      if (this.#queue.length === 0) void this.runtime.head.endLease(lease.id, 'idle').catch(() => {})
      else this.#free({ lease, peer: this.runtime.reach(lease.address) }, 'idle')
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

  async #reason(worker: Worker | undefined, error: LinkLostError | undefined): Promise<string> {
    const death = worker && (await this.runtime.head.endLease(worker.lease.id, 'lost').catch(() => undefined))
    return death?.reason ?? error?.message ?? 'its connection broke'
  }
}
