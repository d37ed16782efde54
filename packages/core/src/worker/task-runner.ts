import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { InvalidInputError } from '../api/errors.js'
import { registeredFunction } from '../api/remote.js'
import { borrowedCount } from '../runtime/borrowed-ref.js'
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

  async run(call: IncomingCall): Promise<void> {
    const [, name] = splitMethod(call.method)
    await runCall(call, this.#lane, `the result of ${name}`, async () => {
      const task = this.#loaded.get(call.method) ?? (await this.#load(call.method))
      return task(...call.args)
    })
    if (borrowedCount() > 0) this.#collectLater()
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

function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
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
