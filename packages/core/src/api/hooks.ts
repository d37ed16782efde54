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
  /**
   * Decides what becomes of an actor that this one spawned, when it died and has no restarts left. Runs at once, also while
   * calls run. Without it, and where it throws, the failure goes on to the owner of this actor, and at last to the driver.
   */
  supervise?(failure: ActorFailure): Decision | Promise<Decision>
  /** Runs when the actor is stopped, after the calls before; not when it is killed or its process dies. */
  onStop?(): void | Promise<void>
}

/**
 * What a supervisor decides: to start the actor again on its node, to start it again wherever there is room, or to leave
 * the decision to the next owner up the tree. A failure that nobody handles leaves the actor dead.
 */
export type Decision = 'restart' | 'replace' | 'escalate'

/** The death of an actor, as its supervisor sees it. */
export interface ActorFailure {
  readonly id: string
  readonly name: string
  readonly className: string
  /** How often it has been restarted already. */
  readonly restarts: number
  readonly reason: string
}

/** What `onRestart` is told. */
export interface Restart {
  /** How often the actor has been restarted, this time included. */
  readonly restarts: number
  /** Why it died. */
  readonly reason: string
}

/** The names that are hooks and no methods. */
export const hooks: ReadonlySet<string> = new Set<keyof ActorHooks>(['onStart', 'onRestart', 'supervise', 'onStop'])
