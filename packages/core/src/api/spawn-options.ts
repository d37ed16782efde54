import { InvalidInputError } from '../common/errors.js'
import type { Isolation } from '../protocol/actor.js'
import { checkCount } from '../runtime/call-options.js'
import type { MethodName } from './handle.js'
import { checkPlaceOptions, type PlaceOptions } from './place-options.js'

/** Calls of one process that may be unanswered, unless `maxPendingCalls` says otherwise. */
export const MAX_PENDING_CALLS = 100_000

/** Milliseconds that the start of a process, and the import of a module, may take unless `startTimeout` says otherwise. */
export const START_TIMEOUT = 60_000
/** The longest that a timer can wait. */
const MAX_TIMEOUT = 2 ** 31 - 1

/** Methods of an actor that have a limit of their own on how many of their calls run at a time. */
export interface MethodGroup<T> {
  /** The number of calls of them that may run at a time. */
  readonly limit: number
  /** Their names; each method is in one group at most. */
  readonly methods: readonly MethodName<T>[]
}

/** Options of a spawn. */
// biome-ignore lint/suspicious/noExplicitAny: without a class, methods of any name
export interface SpawnOptions<T = any> extends PlaceOptions {
  /** The node of each member of a mesh, in the order of their ranks, in place of a `nodeId` for all of them. */
  readonly nodeIds?: readonly string[]
  /** Names the actor and its process; no two living actors of a namespace may be given the same name. */
  readonly name?: string
  /** The namespace that the name is looked up in; by default the one that the driver connected with. */
  readonly namespace?: string
  /** Gives the living actor of that name where there is one, whatever it was constructed with. */
  readonly getIfExists?: boolean
  /** Whether the actor lives on after its driver, until it is stopped or killed or the cluster ends. */
  readonly detached?: boolean
  /**
   * The process or thread that the actor shares with others. `process`, the default: nothing. `thread`: a process with the
   * other threads that its driver started alike (env, Node flags, folder and GPUs) on the node; threads take less memory,
   * but die together when their process does. `local`: the thread of the process that spawns it, which costs no process and
   * no copy between two; it is where that process is, has what that one has, writes where that one writes, and runs only
   * while it is idle.
   */
  readonly isolation?: Isolation
  /** Environment variables of its process, beside those of its node. */
  readonly env?: Readonly<Record<string, string>>
  /** Flags of Node.js for its process, such as `--max-old-space-size=4096`. */
  readonly nodeFlags?: readonly string[]
  /** The folder its process works in; by default that of its node. */
  readonly cwd?: string
  /**
   * Milliseconds that its process may take to start, from when it is its turn on its node, and the import of its module after
   * that; 60,000 by default. The time in which the process waits for CPU or a disk, or is stopped, does not count. Its
   * constructor may take as long as it likes.
   */
  readonly startTimeout?: number
  /** The prefix of each line that its process writes, where the driver shows it; by default its name in brackets. */
  readonly logPrefix?: string
  /** The number of calls that may run at a time, interleaving where they await; 1 by default. */
  readonly maxConcurrency?: number
  /** Groups of methods whose calls are counted apart from the others. */
  readonly concurrencyGroups?: Readonly<Record<string, MethodGroup<T>>>
  /**
   * The number of times that it is constructed anew, from the same arguments, when its process dies; 0 by default. Calls
   * that it had not answered fail unless `maxTaskRetries` says otherwise; calls made meanwhile wait.
   */
  readonly maxRestarts?: number
  /** Whether the restart of one member of a mesh restarts the others too; `one-for-one`, which does not, by default. */
  readonly strategy?: 'one-for-one' | 'all-for-one'
  /**
   * The number of times that a call which was lost with the process is made again; 0 by default. A call may then run more
   * than once.
   */
  readonly maxTaskRetries?: number
  /** Unanswered calls that one process may have; further ones fail with a QueueFullError. 100,000 by default. */
  readonly maxPendingCalls?: number
}

const isolations: readonly Isolation[] = ['process', 'thread', 'local']

/** Options that a local actor cannot have: they are those of its process. */
const ownOfProcess = [
  'detached',
  'env',
  'nodeFlags',
  'cwd',
  'logPrefix',
  'resources',
  'nodeId',
  'nodeIds',
  'labels',
  'placementGroup',
] as const satisfies (keyof SpawnOptions)[]

/** @throws InvalidInputError if an option is out of range, or does not go with the others */
export function checkSpawnOptions(options: SpawnOptions): void {
  checkPlaceOptions(options)
  checkIsolation(options)
  for (const name of ['maxRestarts', 'maxTaskRetries'] as const) {
    const value = options[name]
    if (value !== undefined) checkCount(name, value, 0)
  }
  for (const name of ['maxConcurrency', 'maxPendingCalls'] as const) {
    const value = options[name]
    if (value !== undefined) checkLimit(name, value)
  }
  checkStartTimeout(options)
  const grouped = new Set<string>()
  for (const [group, { limit, methods }] of Object.entries(options.concurrencyGroups ?? {})) {
    checkLimit(`the limit of the concurrency group ${group}`, limit)
    for (const method of methods) {
      if (grouped.has(method)) throw new InvalidInputError(`the method ${method} is in two concurrency groups`)
      grouped.add(method)
    }
  }
  if (options.getIfExists && options.name === undefined) {
    throw new InvalidInputError('getIfExists needs a name to look for')
  }
}

function checkIsolation(options: SpawnOptions): void {
  const { isolation = 'process' } = options
  if (!isolations.includes(isolation)) {
    throw new InvalidInputError(`isolation must be one of ${isolations.join(', ')}; found ${isolation}`)
  }
  const own =
    isolation === 'local' ? ownOfProcess.filter((name) => options[name] !== undefined && options[name] !== false) : []
  if (own.length === 0) return
  const list = own.join(', ')
  throw new InvalidInputError(`a local actor shares the process that spawns it: ${list} cannot be set; use a thread`)
}

/** @throws InvalidInputError if a timer cannot wait for so long */
export function checkStartTimeout({ startTimeout }: { readonly startTimeout?: number }): void {
  if (startTimeout === undefined) return
  checkLimit('startTimeout', startTimeout)
  if (startTimeout > MAX_TIMEOUT)
    throw new InvalidInputError(`startTimeout must be at most ${MAX_TIMEOUT}, found ${startTimeout}`)
}

function checkLimit(name: string, value: number): void {
  if (Number.isSafeInteger(value) && value >= 1) return
  throw new InvalidInputError(`${name} must be a positive integer, found ${value}`)
}
