import type { EventEmitter } from 'node:events'
import type { ReadableStream, WritableStream } from 'node:stream/web'
import type { MessagePort } from 'node:worker_threads'

/** Whether a type is `any`. */
export type IsAny<T> = 0 extends 1 & T ? true : false

/** Stands for a parameter's type whose values live in one process: no argument has this type. */
export interface CannotBeSent {
  readonly 'this cannot be sent to another process': never
}

/** Types whose values are never sent. Other types do not tell: a class may have a codec, or none. */
type Bound =
  | ((...args: never[]) => unknown)
  | (abstract new (
      ...args: never[]
    ) => unknown)
  | symbol
  | EventEmitter
  | AbortSignal
  | WeakRef<WeakKey>
  | ReadableStream
  | WritableStream
  | MessagePort

/** A parameter's type without what cannot be sent: functions, symbols, sockets and other emitters, streams, weak references. */
export type Sendable<T> =
  IsAny<T> extends true
    ? T
    : T extends Bound
      ? CannotBeSent
      : T extends readonly unknown[]
        ? { [I in keyof T]: Sendable<T[I]> }
        : T
