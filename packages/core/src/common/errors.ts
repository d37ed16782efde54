/** Gives an error class its own name without an own property that would be printed and sent with every instance. */
function nameErrors(errorClass: { name: string; prototype: Error }): void {
  Object.defineProperty(errorClass.prototype, 'name', { value: errorClass.name, configurable: true, writable: true })
}

/** The root of every error that Troupe itself raises. */
export class TroupeError extends Error {
  static {
    nameErrors(TroupeError)
  }
}

/** The caller passed something that cannot work; the message says what was expected, what was found and what to do. */
export class InvalidInputError extends TroupeError {
  static {
    nameErrors(InvalidInputError)
  }
}

/** No process answers at an address. */
export class NodeUnreachableError extends InvalidInputError {
  static {
    nameErrors(NodeUnreachableError)
  }
}

/** The head of a cluster does not accept the token of who wants to join. */
export class AccessDeniedError extends InvalidInputError {
  static {
    nameErrors(AccessDeniedError)
  }
}

/** A head was asked to listen on a port that something else holds. */
export class PortInUseError extends InvalidInputError {
  static {
    nameErrors(PortInUseError)
  }
}

/** The head of the cluster, and with it the cluster, has gone. */
export class ClusterLostError extends TroupeError {
  static {
    nameErrors(ClusterLostError)
  }
}

/** An actor died before it answered, or was dead when it was called. */
export class ActorDiedError extends TroupeError {
  static {
    nameErrors(ActorDiedError)
  }

  /** The last lines that the actor's process wrote to stderr. */
  readonly lines: readonly string[]

  /**
   * @param actor the actor's name
   * @param reason the end of its process: an exit code with its last lines on stderr, a signal, the loss of its node, a stop
   * @param details `cause` is the error that the actor threw outside of a call
   */
  constructor(
    readonly actor: string,
    readonly reason: string,
    details: { readonly lines?: readonly string[] | undefined; readonly cause?: unknown } = {},
  ) {
    super(`actor ${actor} died: ${reason}`, details.cause === undefined ? {} : { cause: details.cause })
    this.lines = details.lines ?? []
  }
}

/** An actor failed, and neither a supervisor nor a caller has handled that; it ends the driver. */
export class UnhandledFailureError extends TroupeError {
  static {
    nameErrors(UnhandledFailureError)
  }

  /**
   * @param actor the actor's name
   * @param reason the end of its process
   * @param lines the last lines that its process wrote to stderr
   */
  constructor(
    readonly actor: string,
    readonly reason: string,
    readonly lines: readonly string[],
  ) {
    // The reason of an exit has the lines already.
    const output = lines.length > 0 && !reason.includes('\n') ? `\nlast lines on its stderr:\n${lines.join('\n')}` : ''
    super(
      `actor ${actor} died, and nobody handled that: ${reason}${output}\nTo handle it, await a call of the actor and catch ` +
        'the ActorDiedError; or spawn it with maxRestarts, or from an actor with a supervise method; or give connect() ' +
        'supervise, which decides, or onFailure, which is told instead of ending this process.',
    )
  }
}

/** A call failed whose ref nobody awaited, waited for, passed on or released. */
export class UnawaitedFailureError extends TroupeError {
  static {
    nameErrors(UnawaitedFailureError)
  }

  /**
   * @param call the actor and the method, or the task
   * @param cause the error it failed with
   * @param more the number of its further calls that failed as well
   * @param others further methods of which calls have failed
   */
  constructor(
    readonly call: string,
    cause: unknown,
    more: number,
    others: readonly string[] = [],
  ) {
    const and = more > 0 ? ` (and ${more} more calls of it)` : ''
    const beside = others.length > 0 ? `\nSo did calls of ${others.join(', ')}.` : ''
    const what = cause instanceof Error ? (cause.stack ?? String(cause)) : String(cause)
    super(
      `${call} failed, and nobody awaited it${and}: ${what}\nAwait the call and handle its error, or release() its ref to ` +
        `say that its outcome does not matter.${beside}`,
      { cause },
    )
  }
}

/** The process that ran a task died, and no retries were left. */
export class WorkerDiedError extends TroupeError {
  static {
    nameErrors(WorkerDiedError)
  }

  /**
   * @param task the name of the task's function
   * @param reason the end of the process
   */
  constructor(
    readonly task: string,
    readonly reason: string,
  ) {
    super(`the process of the task ${task} died: ${reason}`)
  }
}

/** An actor is alive but its connection broke; whether a call in flight ran is not known. */
export class ActorUnreachableError extends TroupeError {
  static {
    nameErrors(ActorUnreachableError)
  }
}

/**
 * The value of a ref is gone: its owner has died or had freed it, or it was the result of an actor, or of a task that may not
 * be run again, and was lost with the process that held it.
 */
export class ObjectLostError extends TroupeError {
  static {
    nameErrors(ObjectLostError)
  }
}

/** A task was given an argument that was lost before it could begin. @internal */
export class LostArgumentError extends TroupeError {
  static {
    nameErrors(LostArgumentError)
  }

  /** @param holder the process where the argument could not be reached */
  constructor(readonly holder: string) {
    super(`an argument was lost with the process ${holder} that held it`)
  }
}

/** A queue that has a bound is full: the caller makes calls faster than they are answered. */
export class QueueFullError extends TroupeError {
  static {
    nameErrors(QueueFullError)
  }
}

/** The object store of a node has no room, in memory or on disk; the message says what holds it. */
export class StoreFullError extends TroupeError {
  static {
    nameErrors(StoreFullError)
  }
}

/** A channel carries no more messages: its writer has closed it or died, or all its readers have gone. */
export class ChannelClosedError extends TroupeError {
  static {
    nameErrors(ChannelClosedError)
  }
}

/** A compiled graph takes no more executions. */
export class GraphClosedError extends TroupeError {
  static {
    nameErrors(GraphClosedError)
  }
}

/**
 * A call was to wait for a turn of an actor that awaits it itself, through any number of other calls, and would never have been
 * answered.
 */
export class DeadlockError extends TroupeError {
  static {
    nameErrors(DeadlockError)
  }

  /**
   * @param calls the calls that wait, each for the next one, and the last one for an actor that runs one of them
   * @param actor that actor's name
   * @param limit the number of calls that it runs at a time
   */
  constructor(
    readonly calls: readonly string[],
    actor: string,
    limit: number,
  ) {
    const [first, second, ...rest] = calls
    const chain = [`${first} waits for ${second}`, ...rest.map((call) => `which waits for ${call}`)].join(', ')
    super(
      `${chain}, which never gets a turn: ${actor} runs ${limit} of these calls at a time; call it without awaiting that, or ` +
        `spawn ${actor} with a larger maxConcurrency or a concurrency group for the method`,
    )
  }
}

/** A call was cancelled before it was answered. */
export class CancelledError extends TroupeError {
  static {
    nameErrors(CancelledError)
  }
}

/** A call was not answered within its deadline. */
export class DeadlineExceededError extends CancelledError {
  static {
    nameErrors(DeadlineExceededError)
  }
}

/** The classes that an error of the same name is revived as when it comes from another process. */
export const errorClasses = new Map<string, { prototype: Error }>(
  [
    Error,
    TypeError,
    RangeError,
    SyntaxError,
    ReferenceError,
    EvalError,
    URIError,
    AggregateError,
    TroupeError,
    InvalidInputError,
    NodeUnreachableError,
    AccessDeniedError,
    PortInUseError,
    ClusterLostError,
    ActorDiedError,
    ActorUnreachableError,
    WorkerDiedError,
    ObjectLostError,
    LostArgumentError,
    QueueFullError,
    StoreFullError,
    ChannelClosedError,
    GraphClosedError,
    DeadlockError,
    CancelledError,
    DeadlineExceededError,
  ].map((errorClass) => [errorClass.name, errorClass]),
)

/** Has every process know a class by its name. Classes of programs are found without that. */
export function registerErrorClass(errorClass: { readonly name: string; readonly prototype: Error }): void {
  errorClasses.set(errorClass.name, errorClass)
}
