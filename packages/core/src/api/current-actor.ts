import { runtimeOrNone } from '../runtime/current.js'
import type { ActorIdentity } from '../runtime/runtime.js'
import { type Handle, handleOf } from './handle.js'

/** The actor that a worker's code is part of, as that code can learn it. */
export interface CurrentActor<T = unknown> extends ActorIdentity {
  /** The actor's own handle, for others to call it by; it does not show in what prints or sends this object. */
  readonly handle: Handle<T>
}

const known = new WeakMap<ActorIdentity, CurrentActor>()

/**
 * The actor that this code is part of; undefined in a driver.
 *
 * @example
 * ```ts
 * export class Listener {
 *   async subscribe(news: Handle<News>) { await news.add(currentActor<Listener>()!.handle) }
 *   hear(text: string) { console.log(text) }
 * }
 * ```
 */
export function currentActor<T = unknown>(): CurrentActor<T> | undefined {
  const runtime = runtimeOrNone()
  const actor = runtime?.actor
  if (!actor) return undefined
  let current = known.get(actor.identity)
  if (!current) {
    const get = () => handleOf(runtime.client(actor.record))
    current = Object.defineProperty({ ...actor.identity }, 'handle', { get }) as CurrentActor
    known.set(actor.identity, current)
  }
  return current as CurrentActor<T>
}
