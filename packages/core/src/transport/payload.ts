import { describe } from '../common/describe.js'
import { InvalidInputError, TroupeError } from '../common/errors.js'
import type { Encoded } from './codec.js'
import type { AttachmentQueue, Payload } from './wire.js'

/** A payload with its attachments, before it is decoded. */
export interface Received {
  readonly tree: unknown
  readonly marked: boolean
  readonly attachments: Uint8Array[]
}

/** What was encoded, as it travels in an envelope. */
export function payloadOf({ tree, marked, attachments }: Encoded): Payload {
  return [tree, marked, attachments.length]
}

/** Takes a payload's attachments. */
export function received([tree, marked, count]: Payload, queue: AttachmentQueue): Received {
  return { tree, marked, attachments: queue.take(count) }
}

/** The arguments of a request. @throws TypeError if they are no list */
export function listOf(args: unknown): unknown[] {
  if (!Array.isArray(args)) throw new TypeError('a request without a list of arguments')
  return args
}

/** What is wrong with a value that was encoded and cannot be packed. */
export function unpackable(subject: string, error: unknown): Error {
  return new InvalidInputError(
    `${subject} cannot be packed into a message: ${describe(error)}; send it in parts, or what is large as typed arrays`,
    { cause: error },
  )
}

/** What came in for one call and cannot be unpacked. */
export function unreadable(what: string, error: unknown): Error {
  const { code } = error as NodeJS.ErrnoException
  const remedy = code === 'ERR_STRING_TOO_LONG' ? '; send such text in parts, or as a Uint8Array' : ''
  return new TroupeError(`${what} cannot be read: ${describe(error)}${remedy}`, { cause: error })
}
