import { Packr, Unpackr } from 'msgpackr/pack'
import type { Encoded } from './codec.js'

/** Both ends of a connection must speak the same version. */
export const PROTOCOL = 'troupe1'

/** Items of a stream that may be on their way or wait for the consumer; at this many the producer waits. */
export const STREAM_WINDOW = 16

/**
 * The kinds of envelopes. Those from `result` to `end` answer a request of the receiver, `credit` and `cancel` are about
 * a request of the sender, `release` lists pins of the receiver that are no longer needed.
 */
export const envelopes = {
  request: 1,
  result: 2,
  failure: 3,
  item: 4,
  end: 5,
  credit: 6,
  cancel: 7,
  release: 8,
} as const

/** An encoded value inside an envelope: its tree, whether it is marked, how many attachments are its, its pin or 0. */
export type Payload = [tree: unknown, marked: boolean, attachments: number, pin: number]

/** One envelope: its kind, the number of the request it is about, and what the kind calls for. */
export type Envelope = [kind: number, request: number, ...parts: unknown[]]

/** A packed envelope with the frames that go beside it. */
export interface Parcel {
  readonly bytes: Uint8Array
  readonly attachments: Uint8Array[]
}

/** An envelope that came in. Its attachments are the next ones of the message, in the order of its payloads. */
export interface Arrival {
  readonly envelope: Envelope
  readonly attachments: AttachmentQueue
}

const packr = new Packr({ useRecords: false })
// What is unpacked may lie in memory that is soon written over.
const unpackr = new Unpackr({ useRecords: false, copyBuffers: true })

/** Packs an envelope; from here on the values in it may change without changing the message. */
export function pack(envelope: Envelope, attachments: Uint8Array[]): Parcel {
  return { bytes: packr.pack(envelope), attachments }
}

/** A deep copy of what an encoded value holds, for a message that leaves later. */
export function snapshot(encoded: Encoded): Encoded {
  const { tree } = encoded
  if (Array.isArray(tree) && !tree.some((item) => typeof item === 'object' && item !== null)) {
    return { ...encoded, tree: [...tree] }
  }
  return { ...encoded, tree: unpackr.unpack(packr.pack(encoded.tree)) }
}

/** The bytes that an encoded value takes in a message. */
export function byteLengthOf({ tree, attachments }: Encoded): number {
  return attachments.reduce((sum, { length }) => sum + length, packr.pack(tree).length)
}

/** How many bytes an encoded value takes; exact where it may be `limit` or more, else perhaps too many but below that. */
export function packedBytes({ tree, attachments }: Encoded, limit: number): number {
  const beside = attachments.reduce((sum, { length }) => sum + length, 0)
  if (beside >= limit) return beside
  const most = beside + mostBytes(tree, limit)
  return most < limit ? most : beside + packr.pack(tree).length
}

/** An upper bound of the bytes that msgpack needs, counted no further than to a limit. */
function mostBytes(node: unknown, limit: number): number {
  if (typeof node === 'string') return 5 + 3 * node.length
  if (typeof node !== 'object' || node === null) return 9
  if (node instanceof Uint8Array) return 5 + node.length
  let sum = 5
  if (Array.isArray(node))
    for (let index = 0; index < node.length && sum < limit; index++) sum += mostBytes(node[index], limit)
  else {
    for (const [key, value] of Object.entries(node)) {
      if (sum >= limit) break
      sum += 5 + 3 * key.length + mostBytes(value, limit)
    }
  }
  return sum
}

/** Joins parcels into the frames of one ZeroMQ message: the envelopes back to back, then all attachments. */
export function join(parcels: Parcel[]): Uint8Array[] {
  const [first] = parcels
  if (parcels.length === 1 && first) return [first.bytes, ...first.attachments]
  const envelopes = Buffer.concat(parcels.map((parcel) => parcel.bytes))
  return [envelopes, ...parcels.flatMap((parcel) => parcel.attachments)]
}

/**
 * Reads the envelopes of a message.
 *
 * @throws TypeError or RangeError if the bytes are no envelopes
 */
export function split(frames: Uint8Array[]): Arrival[] {
  const [packed, ...rest] = frames
  if (!packed) throw new TypeError('an empty message')
  const attachments = new AttachmentQueue(rest)
  const arrivals: Arrival[] = []
  unpackr.unpackMultiple(packed, (envelope: unknown) => {
    if (!Array.isArray(envelope) || typeof envelope[0] !== 'number' || typeof envelope[1] !== 'number') {
      throw new TypeError('a message that is no envelope')
    }
    arrivals.push({ envelope: envelope as Envelope, attachments })
  })
  return arrivals
}

const NO_ATTACHMENTS: Uint8Array[] = []

/** The attachments of one message, handed out to its payloads one after the other. */
export class AttachmentQueue {
  #next = 0
  readonly #frames: Uint8Array[]

  constructor(frames: Uint8Array[]) {
    this.#frames = frames
  }

  take(count: number): Uint8Array[] {
    if (count === 0) return NO_ATTACHMENTS
    if (count > this.#frames.length - this.#next) throw new RangeError('a message with too few attachments')
    this.#next += count
    return this.#frames.slice(this.#next - count, this.#next)
  }
}
