import { ActorDiedError, CancelledError, ClusterLostError, UnawaitedFailureError } from '../common/errors.js'

/** Treatment of the failure of a call that nobody awaits; see `connect`. */
export type UnawaitedFailures = 'warn' | 'throw' | 'ignore'

/** Failures that are kept until their refs are collected; of more, the oldest are told at once. */
const MOST_KEPT = 1000
/** Calls of different methods that are told of one by one. */
const MOST_TOLD = 10

/** The failure of a call whose ref nobody has used. */
export interface UnawaitedFailure {
  /** The call's name in messages: `Counter#1.add`. */
  readonly label: string
  readonly error: unknown
}

let mode: UnawaitedFailures = 'warn'
let isTelling = false
let isWatchingExit = false
const kept = new Set<UnawaitedFailure>()
/** The failures whose refs nobody can use any more. */
const dropped = new Set<UnawaitedFailure>()
const collected = new FinalizationRegistry<UnawaitedFailure>(drop)

/** Chooses what becomes of them in this process. */
export function setUnawaitedFailures(to: UnawaitedFailures): void {
  mode = to
}

/**
 * A call has failed, and nobody has used its ref yet. It is told when nobody can any more: once the ref is collected, or this
 * process ends. The deaths of actors are told by the head, and who cancels a call knows.
 */
export function addUnawaited(ref: object, failure: UnawaitedFailure): void {
  const { error } = failure
  if (error instanceof ActorDiedError || error instanceof ClusterLostError || error instanceof CancelledError) return
  if (mode === 'ignore') return
  if (!isWatchingExit) process.on('exit', tellAtExit)
  isWatchingExit = true
  kept.add(failure)
  collected.register(ref, failure, failure)
  if (kept.size > MOST_KEPT) drop(kept.values().next().value!)
}

/** Somebody has used the ref after all. */
export function removeUnawaited(failure: UnawaitedFailure): void {
  kept.delete(failure)
  collected.unregister(failure)
}

function drop(failure: UnawaitedFailure): void {
  removeUnawaited(failure)
  dropped.add(failure)
  if (isTelling) return
  isTelling = true
  setImmediate(() => {
    isTelling = false
    for (const error of describe(dropped)) {
      if (mode === 'throw') setImmediate(throwIt, error)
      else process.emitWarning(error)
    }
    dropped.clear()
  })
}

function throwIt(error: Error): never {
  throw error
}

function tellAtExit(): void {
  const errors = describe([...dropped, ...kept])
  if (errors.length === 0) return
  for (const { name, message } of errors) process.stderr.write(`(node:${process.pid}) ${name}: ${message}\n`)
  if (mode === 'throw') process.exitCode ||= 1
}

/** One error for each method, which says how often it failed. */
function describe(failures: Iterable<UnawaitedFailure>): UnawaitedFailureError[] {
  const byLabel = new Map<string, UnawaitedFailure[]>()
  for (const failure of failures) {
    const same = byLabel.get(failure.label)
    if (same) same.push(failure)
    else byLabel.set(failure.label, [failure])
  }
  const groups = [...byLabel.values()]
  const others = groups.slice(MOST_TOLD).flatMap(([first]) => first!.label)
  return groups.slice(0, MOST_TOLD).map(([first, ...more], index) => {
    const isLast = index === MOST_TOLD - 1
    return new UnawaitedFailureError(first!.label, first!.error, more.length, isLast ? others : [])
  })
}
