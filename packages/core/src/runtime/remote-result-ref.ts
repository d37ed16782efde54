import type { Location } from '../protocol/location.js'
import { decode, type Encoded, encode, registerCodec } from '../transport/codec.js'
import type { ProcessAddress } from '../transport/connection-manager.js'
import { packedBytes, snapshot } from '../transport/encoded.js'
import type { IncomingCall } from '../transport/incoming-call.js'
import type { BorrowedRef } from './borrowed-ref.js'
import { currentRuntime } from './current.js'
import { ObjectRef } from './ref.js'
import type { OwnerData } from './ref-codec.js'

/** Encoded bytes from which a result for another node stays with the process that computed it. */
export const LARGE_RESULT = 2 ** 20

/** Stands for a large result when that is sent: a ref of the process that computed it. */
export class RemoteResultRef {
  constructor(
    readonly ref: ObjectRef<unknown>,
    readonly bytes: number,
  ) {}

  /** The place where the receiver finds the value. */
  get location(): Location {
    const { id, ownerData } = this.ref as BorrowedRef<unknown>
    return { id, holder: (ownerData as OwnerData & { worker: ProcessAddress }).worker }
  }
}

registerCodec<RemoteResultRef, { ref: ObjectRef<unknown>; bytes: number }>({
  name: 'troupe.remote-result',
  matches: (value): value is RemoteResultRef => value instanceof RemoteResultRef,
  encode: ({ ref, bytes }) => ({ ref, bytes }),
  decode: ({ ref, bytes }) => new RemoteResultRef(ref, bytes),
})

let results = 0
let retainedBytes = 0

/** Bytes of the results that this process has begun to hold since this was asked last. */
export function takeRetainedBytes(): number {
  const bytes = retainedBytes
  retainedBytes = 0
  return bytes
}

/**
 * Answers a call of another node: with its result, or where that is large with where it is.
 *
 * @param parts whether the result is an array whose items are held on their own
 */
export function replyAcrossNodes(call: IncomingCall, result: unknown, subject: string, parts: boolean): void {
  if (call.isCancelled) return
  if (parts && Array.isArray(result)) {
    call.reply(
      result.map((item) => retainIfLarge(item, subject)),
      subject,
    )
    return
  }
  const encoded = encode(result, subject, false)
  const bytes = packedBytes(encoded, LARGE_RESULT)
  if (bytes < LARGE_RESULT) call.send(encoded)
  else call.reply(retain(encoded, bytes), subject)
}

function retainIfLarge(item: unknown, subject: string): unknown {
  const encoded = encode(item, subject, false)
  const bytes = packedBytes(encoded, LARGE_RESULT)
  if (bytes >= LARGE_RESULT) return retain(encoded, bytes)
  for (const release of encoded.pins) release()
  return item
}

/** Keeps a copy of the result: what it was made of may change after the answer. */
function retain(encoded: Encoded, bytes: number): RemoteResultRef {
  const value = copyOf(encoded)
  retainedBytes += bytes
  const id = `${currentRuntime().self.processId}:result:${++results}`
  return new RemoteResultRef(new ObjectRef<unknown>((resolve) => resolve(value), id), bytes)
}

/** A deep copy of what was encoded for another node; lets go of what it pinned. */
export function copyOf(encoded: Encoded): unknown {
  const { tree, tagged, attachments, pins } = snapshot(encoded)
  const kept: Promise<unknown>[] = []
  const own = attachments.map((bytes) => Uint8Array.from(bytes))
  try {
    return decode(tree, tagged, own, false, (until) => kept.push(until))
  } finally {
    void Promise.allSettled(kept).then(() => {
      for (const release of pins) release()
    })
  }
}
