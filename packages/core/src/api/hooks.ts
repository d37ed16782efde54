/**
 * What an actor's class may define to learn of its own life. The runtime calls these, and handles do not have them.
 *
 * @example
 * ```ts
 * export class Cache implements ActorHooks {
 *   async onStart() { this.file = await open(path) }
 *   async onStop() { await this.file.close() }
 * }
 * ```
 */
export interface ActorHooks {
  /** Runs after the constructor and before any call, in each process that the actor lives in. */
  onStart?(): void | Promise<void>
  /** Runs after `onStart` when the actor has come back from a death. What it kept in its fields is lost. */
  onRestart?(restart: Restart): void | Promise<void>
  /** Runs when the actor is stopped, after the calls before; not when it is killed or its process dies. */
  onStop?(): void | Promise<void>
}

/** What `onRestart` is told. */
export interface Restart {
  /** How often the actor has been restarted, this time included. */
  readonly restarts: number
  /** Why it died. */
  readonly reason: string
}

/** The names that are hooks and no methods. */
export const hooks: ReadonlySet<string> = new Set<keyof ActorHooks>(['onStart', 'onRestart', 'onStop'])
