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
   * @param reason what ended it: an exit code with its last lines on stderr, a signal, the loss of its node, a stop
   * @param details `cause` is what the actor threw outside of a call
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

/** The process that ran a task died, and no retries were left. */
export class WorkerDiedError extends TroupeError {
  static {
    nameErrors(WorkerDiedError)
  }

  /**
   * @param task the name of the task's function
   * @param reason what ended the process
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

/** The value of a ref is gone: its owner has died, or had freed it. */
export class ObjectLostError extends TroupeError {
  static {
    nameErrors(ObjectLostError)
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
export const errorClasses: ReadonlyMap<string, { prototype: Error }> = new Map(
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
    PortInUseError,
    ClusterLostError,
    ActorDiedError,
    ActorUnreachableError,
    WorkerDiedError,
    ObjectLostError,
    QueueFullError,
    StoreFullError,
    ChannelClosedError,
    GraphClosedError,
    CancelledError,
    DeadlineExceededError,
  ].map((errorClass) => [errorClass.name, errorClass]),
)
