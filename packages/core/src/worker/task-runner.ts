import { registeredFunction } from '../api/remote.js'
import { collectGarbage } from '../common/collect-garbage.js'
import { InvalidInputError } from '../common/errors.js'
import { TASK_OF_SEVERAL } from '../protocol/actor.js'
import { borrowedCount } from '../runtime/borrowed-ref.js'
import type { ObjectRef } from '../runtime/ref.js'
import { fetchArguments } from '../runtime/remote-argument.js'
import type { Runtime } from '../runtime/runtime.js'
import { Semaphore } from '../runtime/semaphore.js'
import type { IncomingCall } from '../transport/incoming-call.js'
import { importModule } from './import-module.js'
import { runCall } from './run-call.js'

type AnyFunction = (...args: unknown[]) => unknown

/** Milliseconds after its last task that a worker lets go of the refs it was given. */
const COLLECT_AFTER = 500

/** Milliseconds that a task waits for refs before it lends its resources to others. */
const LEND_AFTER = 20

/** The refs that the running task waits for. */
interface Waits {
  refs: number
  timer: NodeJS.Timeout | undefined
  /** The lease whose resources are lent. */
  lent: Promise<string | undefined> | undefined
}

/** Runs tasks, one at a time. */
export class TaskRunner {
  readonly #semaphore = new Semaphore(1)
  #waits: Waits | undefined
  #runtime: Runtime | undefined

  readonly #loaded = new Map<string, AnyFunction>()
  readonly #loading = new Map<string, Promise<AnyFunction>>()
  readonly #localUrl: (url: string) => string
  readonly #imported: (method: string) => Promise<void>
  #collecting: NodeJS.Timeout | undefined

  /**
   * @param localUrl gives the URL that this process knows a module by
   * @param imported called when the module of a task has been imported, or has failed to be
   */
  constructor(localUrl: (url: string) => string, imported: (method: string) => Promise<void>) {
    this.#localUrl = localUrl
    this.#imported = imported
  }

  /** Loads the function of a task, where that has not been done. */
  prepare(method: string): Promise<unknown> | undefined {
    return this.#loaded.has(method) ? undefined : this.#load(method)
  }

  async run(call: IncomingCall, runtime: Runtime): Promise<void> {
    const [, name] = splitMethod(call.method)
    const waits: Waits = { refs: 0, timer: undefined, lent: undefined }
    const begin = (task: AnyFunction) => {
      this.#runtime = runtime
      this.#waits = waits
      return task(...call.args)
    }
    const run = () => {
      const task = this.#loaded.get(call.method)
      return task && !call.mayLack ? begin(task) : this.#prepared(call, runtime).then(begin)
    }
    const isSeveral = call.target === TASK_OF_SEVERAL
    await runCall({ call, subject: `the result of ${name}`, isSeveral, run }, this.#semaphore)
    if (this.#waits === waits) this.#waits = undefined
    this.#takeBack(waits)
    if (borrowedCount() > 0) this.#collectLater()
  }

  /** Loads a task's function where that has not been done, and fetches arguments that live elsewhere. */
  async #prepared(call: IncomingCall, runtime: Runtime): Promise<AnyFunction> {
    const task = this.#loaded.get(call.method) ?? (await this.#load(call.method))
    if (call.mayLack) await fetchArguments(runtime, call.args, false)
    return task
  }

  /**
   * The task that runs waits for a ref. The call that computes its value may need the resources that the task holds
   * meanwhile.
   */
  waitsFor(ref: ObjectRef<unknown>): void {
    const waits = this.#waits
    if (!waits) return
    waits.refs += 1
    waits.timer ??= setTimeout(() => {
      waits.lent = this.#runtime?.workerSession.blocked().catch(() => undefined)
    }, LEND_AFTER)
    void ref.settled().then(() => {
      waits.refs -= 1
      if (waits.refs === 0) this.#takeBack(waits)
    })
  }

  #takeBack(waits: Waits): void {
    clearTimeout(waits.timer)
    const { lent } = waits
    waits.timer = undefined
    waits.lent = undefined
    const unblock = async (lease: string | undefined) => {
      if (lease !== undefined) await this.#runtime?.workerSession.unblocked(lease)
    }
    lent?.then(unblock).catch(() => {})
  }

  #load(method: string): Promise<AnyFunction> {
    let loading = this.#loading.get(method)
    if (!loading) {
      const [module, name] = splitMethod(method)
      loading = load(this.#localUrl(module), name).finally(() => this.#imported(method))
      this.#loading.set(method, loading)
      const forget = () => this.#loading.delete(method)
      loading.then((task) => this.#loaded.set(method, task)).then(forget, forget)
    }
    return loading
  }

  /** A worker that waits for work allocates nothing, so the refs of its last tasks would never be collected. */
  #collectLater(): void {
    clearTimeout(this.#collecting)
    this.#collecting = setTimeout(collectGarbage, COLLECT_AFTER)
    this.#collecting.unref()
  }

  /** Resolves when no task runs. */
  async idle(): Promise<true> {
    await this.#semaphore.drained()
    return true
  }
}

export function splitMethod(method: string): [module: string, name: string] {
  const at = method.lastIndexOf('#')
  return [method.slice(0, at), method.slice(at + 1)]
}

async function load(module: string, name: string): Promise<AnyFunction> {
  const known = registeredFunction(module, name)
  if (known) return known
  const namespace = await importModule(module)
  const task = registeredFunction(module, name) ?? namespace[name]
  if (typeof task === 'function') return task as AnyFunction
  throw new InvalidInputError(`${module} makes no task of ${name}; call remote(import.meta.url, ${name}) in it`)
}
