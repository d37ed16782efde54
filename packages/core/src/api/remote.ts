import { InvalidInputError } from '../common/errors.js'
import { type CallOptions, checkCallOptions, checkCount } from '../runtime/call-options.js'
import { currentRuntime, onEnter } from '../runtime/current.js'
import type { ObjectRef } from '../runtime/ref.js'
import { TaskClient } from '../runtime/task-client.js'
import { isGenerator } from './generators.js'
import type { RemoteArguments, RemoteMethod } from './handle.js'
import { checkPlaceOptions, type PlaceOptions, placeRequest } from './place-options.js'
import { checkStartTimeout, START_TIMEOUT } from './spawn-options.js'

/** A function of any shape. */
// biome-ignore lint/suspicious/noExplicitAny: any function is accepted
export type AnyFunction = (...args: any[]) => any

/** Options of a task. */
export interface TaskOptions extends CallOptions, PlaceOptions {
  /** The number of times that it is run again when its process dies; 3 by default. */
  readonly maxRetries?: number
  /** Whether it is also run again when it throws, always or for some errors. */
  readonly retryExceptions?: boolean | ((error: unknown) => boolean)
  /** The function returns this many values in an array, and the call gives a ref of each. */
  readonly numReturns?: number
  /**
   * Milliseconds that the import of its module may take in a process that has not imported it yet, 60,000 by default. The time
   * in which the process waits for CPU or a disk, or is stopped, does not count.
   */
  readonly startTimeout?: number
}

/** The refs that a task with `numReturns` gives. */
export type RefsOf<R> = R extends readonly unknown[] ? { -readonly [I in keyof R]: ObjectRef<R[I]> } : never

/** A function whose calls run as tasks; made by {@link remote}. */
export type RemoteFunction<F extends AnyFunction> = RemoteMethod<F> & TaskVariants<F>

/** Other forms of a function whose calls run as tasks. */
export interface TaskVariants<F extends AnyFunction> {
  /**
   * The same function with other options for its calls.
   *
   * @throws InvalidInputError if an option is out of range
   */
  options(
    options: TaskOptions & { readonly numReturns: number },
  ): (...args: RemoteArguments<Parameters<F>>) => RefsOf<Awaited<ReturnType<F>>>
  /** The same function with other options, for calls that give one ref each. */
  options(options: TaskOptions): RemoteFunction<F>
}

const functions = new Map<string, AnyFunction>()

/** The function that a module made a task of in this process. @internal */
export function registeredFunction(module: string, exportName: string): AnyFunction | undefined {
  return functions.get(`${module}#${exportName}`)
}

/**
 * Makes a function whose calls run as tasks, in worker processes that are started beforehand and used again.
 *
 * @param module `import.meta.url` of the module this is called in: workers import it
 * @param task a function with a name of its own, or a generator, whose calls then give streams
 * @param options for every call
 * @throws InvalidInputError if the function has no name, the module has another task of that name, or an option is out of
 * range
 * @example
 * ```ts
 * export function square(x: number) { return x * x }
 * export const remoteSquare = remote(import.meta.url, square)
 *
 * const squares = await Promise.all([1, 2, 3].map((x) => remoteSquare(x)))
 * ```
 */
export function remote<F extends AnyFunction>(module: string, task: F, options: TaskOptions = {}): RemoteFunction<F> {
  const { name } = task
  if (!name) throw new InvalidInputError(`a function without a name cannot be a task; name it, in ${module}`)
  const key = `${module}#${name}`
  const known = functions.get(key)
  if (known && known !== task) throw new InvalidInputError(`${module} has a task named ${name} already`)
  functions.set(key, task)
  onEnter('tasks', (runtime) => {
    if (!runtime.isWorker) void runtime.head.prestart().catch(() => {})
  })
  return callerOfTask<F>(module, name, isGenerator(task), options)
}

function callerOfTask<F extends AnyFunction>(
  module: string,
  name: string,
  streams: boolean,
  options: TaskOptions,
): RemoteFunction<F> {
  checkTaskOptions(options)
  const identity = {}
  const call = (...args: unknown[]) => {
    const client = currentRuntime().tasks(identity, (runtime) => {
      const place = placeRequest(options, { cpu: 1 })
      const settings = { ...options, startTimeout: options.startTimeout ?? START_TIMEOUT, place }
      return new TaskClient(runtime, `${runtime.portable(module)}#${name}`, name, settings)
    })
    if (streams) return client.stream(args)
    return options.numReturns === undefined ? client.call(args) : client.callMany(args, options.numReturns)
  }
  const withOptions = (more: TaskOptions) => callerOfTask<F>(module, name, streams, { ...options, ...more })
  Object.defineProperty(call, 'name', { value: name })
  return Object.assign(call, { options: withOptions }) as unknown as RemoteFunction<F>
}

function checkTaskOptions(options: TaskOptions): void {
  checkCallOptions(options)
  checkPlaceOptions(options)
  checkStartTimeout(options)
  const { numReturns } = options
  if (numReturns === undefined) return
  checkCount('numReturns', numReturns, 1)
}
