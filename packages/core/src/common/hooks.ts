/**
 * Methods that an actor's class may define to learn of its own life. The runtime calls them, and handles do not have them.
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
  /** Runs after `onStart` when the actor has come back from a death. The state that it kept in its fields is lost. */
  onRestart?(restart: Restart): void | Promise<void>
  /**
   * Decides what becomes of an actor that this one spawned, when it failed and has no restarts left. Runs at once, also while
   * calls run. Without it, and where it throws, the failure goes on to the owner of this actor, and at last to the driver;
   * see {@link Decision}.
   */
  supervise?(failure: ActorFailure): Decision | Promise<Decision>
  /**
   * Runs when the actor is stopped, after the calls before, and when it ends with its owner, its placement group or its
   * cluster, or its driver in whatever way, beside calls that still run. It has five seconds, and then the process is killed.
   * It does not run
   * when the actor is killed by `killActor`, or when its process or its node dies. An actor that is local to a process which
   * ends cannot run it.
   */
  onStop?(): void | Promise<void>
}

/**
 * The decision of a supervisor about an actor that failed: `restart` starts it again on its node, `replace` wherever there
 * is room, `stop` leaves it dead and the matter settled, and `escalate` leaves the decision to the next owner up the tree.
 *
 * An actor fails when its process ends without having been asked to and it has no restarts left, or when it cannot be
 * constructed anew. It does not fail when it is ended on purpose: by `stopActor` or `killActor`, with its owner, its
 * placement group or the cluster, or because its constructor threw, which the spawn reports.
 *
 * A failure is handled when a supervisor up the tree has decided on it, or when a caller has learned of it: when a call that
 * is awaited, in any process, has failed with the ActorDiedError within two seconds. A failure that nobody has handled by
 * then ends the driver, unless its `onFailure` says otherwise. Detached actors, which have no driver, stay dead.
 */
export type Decision = 'restart' | 'replace' | 'stop' | 'escalate'

/** The death of an actor, as its supervisor sees it. */
export interface ActorFailure {
  readonly id: string
  readonly name: string
  readonly className: string
  /** The number of its restarts so far. */
  readonly restarts: number
  readonly reason: string
  /** The last lines that its process wrote to stderr. */
  readonly lines: readonly string[]
}

/** The restart that `onRestart` runs after. */
export interface Restart {
  /** The number of restarts of the actor, this one included. */
  readonly restarts: number
  /** The reason why it died. */
  readonly reason: string
}

/** The names that are hooks and no methods. */
export const hooks: ReadonlySet<string> = new Set<keyof ActorHooks>(['onStart', 'onRestart', 'supervise', 'onStop'])
