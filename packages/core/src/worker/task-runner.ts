import { InvalidInputError } from '../api/errors.js'
import { registeredFunction } from '../api/remote.js'
import { TASK_OF_SEVERAL } from '../cluster/protocol.js'
import { borrowedCount } from '../runtime/borrowed-ref.js'
import { collectGarbage } from '../runtime/collect-garbage.js'
import { fetchArguments } from '../runtime/remote-argument.js'
import type { Runtime } from '../runtime/runtime.js'
import type { IncomingCall } from '../transport/incoming-call.js'
import { importModule } from './import-module.js'
import { Lane } from './lane.js'
import { runCall } from './run-call.js'

type AnyFunction = (...args: unknown[]) => unknown

/** Milliseconds after its last task that a worker lets go of the refs it was given. */
const COLLECT_AFTER = 500

/** Runs tasks, one at a time. */
export class TaskRunner {
  readonly #lane = new Lane(1)

  readonly #loaded = new Map<string, AnyFunction>()
  readonly #localUrl: (url: string) => string
  #collecting: NodeJS.Timeout | undefined

  /** @param localUrl what this process knows a module by */
  constructor(localUrl: (url: string) => string) {
    this.#localUrl = localUrl
  }

  /** Loads the function of a task, where that has not been done. */
  prepare(method: string): Promise<unknown> | undefined {
    return this.#loaded.has(method) ? undefined : this.#load(method)
  }

  async run(call: IncomingCall, runtime: Runtime): Promise<void> {
    const [, name] = splitMethod(call.method)
    const run = () => {
      const task = this.#loaded.get(call.method)
      return task && !call.mayLack ? task(...call.args) : this.#prepared(call, runtime)
    }
    const isSeveral = call.target === TASK_OF_SEVERAL
    await runCall({ call, subject: `the result of ${name}`, isSeveral, run }, this.#lane)
    if (borrowedCount() > 0) this.#collectLater()
  }

  async #prepared(call: IncomingCall, runtime: Runtime): Promise<unknown> {
    const task = this.#loaded.get(call.method) ?? (await this.#load(call.method))
    if (call.mayLack) await fetchArguments(runtime, call.args, false)
    return task(...call.args)
  }

  async #load(method: string): Promise<AnyFunction> {
    const [module, name] = splitMethod(method)
    const task = await load(this.#localUrl(module), name)
    this.#loaded.set(method, task)
    return task
  }

  /** A worker that waits for work allocates nothing, so the refs of its last tasks would never be collected. */
  #collectLater(): void {
    clearTimeout(this.#collecting)
    this.#collecting = setTimeout(collectGarbage, COLLECT_AFTER)
    this.#collecting.unref()
  }

  /** Resolves when no task runs. */
  async idle(): Promise<true> {
    await this.#lane.drained()
    return true
  }
}

function splitMethod(method: string): [module: string, name: string] {
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
