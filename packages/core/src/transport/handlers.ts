import type { Encoded } from './codec.js'
import type { IncomingCall } from './incoming-call.js'
import type { LinkLostError } from './link.js'

/** The handler of a request's answer. `result`, `failure`, `end` and `lost` are final, and only one of them is called. */
export interface AnswerHandler {
  result(value: unknown): void
  failure(error: unknown): void
  item(value: unknown): void
  end(): void
  lost(error: LinkLostError): void
}

/** A request as it leaves: who and what is called, and the arguments. */
export interface OutgoingRequest {
  /** An actor or tasks; empty for what the process itself serves. */
  readonly target: string
  readonly method: string
  readonly args: Encoded
  /** Values of arguments that were left open in `args`, by their index. */
  readonly late?: [index: number, value: Encoded][] | undefined
}

/** The server of the requests that come in on a connection. */
export interface PeerHandler {
  /** Awaits what must have happened before the arguments of a request can be decoded; undefined if nothing must. */
  prepare?(target: string, method: string): Promise<unknown> | undefined
  call(call: IncomingCall): void
  /** Whether the other end may ask for something while this process awaits nothing; never by default. */
  mayBeAsked?(): boolean
  lost?(error: LinkLostError): void
}
