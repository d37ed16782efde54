import { InvalidInputError } from '../common/errors.js'
import { after, checkTimeout } from '../common/timer.js'
import { checkCallOptions, checkCount } from '../runtime/call-options.js'
import { currentRuntime } from '../runtime/current.js'
import { putValue } from '../runtime/put-ref.js'
import type { ObjectRef } from '../runtime/ref.js'

let puts = 0

/** Options of {@link put}. */
export interface PutOptions {
  /**
   * Milliseconds that the ref waits for room in the store; 30,000 by default. However few, the processes of the node first have
   * a second to give up what they use no more.
   */
  readonly deadline?: number
}

/**
 * A ref of a value as it is now, which can be passed to many calls. This process owns the value. Tensors in it are shared;
 * all else is copied, large arrays into the store of the node, where every process of it that gets them sees the same
 * memory: what is got is not to be written to. While the store is full the ref waits for room, and the value must not change
 * until it has settled; after the deadline it rejects with a StoreFullError.
 *
 * @throws InvalidInputError naming the path of what could not be sent
 * @example
 * ```ts
 * const weights = put({ layers })
 * await Promise.all(workers.map((worker) => worker.load(weights)))
 * ```
 */
export function put<T>(value: T, { deadline = 30_000 }: PutOptions = {}): ObjectRef<T> {
  checkCallOptions({ deadline })
  const runtime = currentRuntime()
  const ref = putValue(value, `${runtime.self.processId}:put:${++puts}`, deadline)
  runtime.objects.put(ref)
  runtime.connections.keepAlive()
  return ref
}

/** The result of {@link wait}, both lists in the order that the refs were given. */
export interface Waited<T> {
  /** The refs with an outcome, be it a value or a failure; `count` at most. */
  readonly ready: ObjectRef<T>[]
  readonly pending: ObjectRef<T>[]
}

/**
 * Waits until some refs have an outcome. That does not bring over a value which lives on another node.
 *
 * @param options `count`: how many to wait for, 1 by default; `timeout`: milliseconds after which to return what there
 * is, never by default or with Infinity
 * @throws InvalidInputError if there are fewer refs than to wait for, or the timeout is negative or no number
 * @example
 * ```ts
 * for (let pending = calls; pending.length > 0; ) {
 *   const waited = await wait(pending)
 *   for (const ref of waited.ready) console.log(await ref)
 *   pending = waited.pending
 * }
 * ```
 */
export async function wait<T>(
  refs: readonly ObjectRef<T>[],
  { count = 1, timeout }: { readonly count?: number; readonly timeout?: number } = {},
): Promise<Waited<T>> {
  checkCount('count', count, 1)
  if (timeout !== undefined) checkTimeout('timeout', timeout)
  if (count > refs.length) throw new InvalidInputError(`cannot wait for ${count} of ${refs.length} refs`)
  // By position: a ref may be given twice.
  const done = new Set<number>()
  const stops: (() => void)[] = []
  await new Promise<void>((resolve) => {
    for (const [index, ref] of refs.entries()) {
      const settled = () => {
        done.add(index)
        if (done.size >= count) resolve()
      }
      stops.push(ref.onceReady(settled))
    }
    if (timeout !== undefined) stops.push(after(timeout, resolve))
  })
  for (const stop of stops) stop()
  const first = new Set([...done].sort((left, right) => left - right).slice(0, count))
  return {
    ready: refs.filter((_, index) => first.has(index)),
    pending: refs.filter((_, index) => !first.has(index)),
  }
}
