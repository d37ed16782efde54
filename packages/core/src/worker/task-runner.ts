import { InvalidInputError } from '../api/errors.js'
import { registeredFunction } from '../api/remote.js'
import { borrowedCount } from '../runtime/borrowed-ref.js'
import { collectGarbage } from '../runtime/garbage.js'
import type { IncomingCall } from '../transport/incoming-call.js'
import { Lane } from './lane.js'
import { runCall } from './run-call.js'

type AnyFunction = (...args: unknown[]) => unknown

/** Milliseconds after its last task that a worker lets go of the refs it was given. */
const COLLECT_AFTER = 500

/** Runs tasks, one at a time. */
export class TaskRunner {
  readonly #lane = new Lane(1)

  readonly #loaded = new Map<string, AnyFunction>()
  #collecting: NodeJS.Timeout | undefined

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
    const task = await load(...splitMethod(method))
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
  const namespace = (await import(module)) as Record<string, unknown>
  const task = registeredFunction(module, name) ?? namespace[name]
  if (typeof task === 'function') return task as AnyFunction
  throw new InvalidInputError(`${module} makes no task of ${name}; call remote(import.meta.url, ${name}) in it`)
}
