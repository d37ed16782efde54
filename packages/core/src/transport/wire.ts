import { Packr, RESERVE_START_SPACE, Unpackr } from 'msgpackr/pack'
import { describe } from '../common/describe.js'
import { InvalidInputError, TroupeError } from '../common/errors.js'
import type { Encoded } from './codec.js'

/** Both ends of a connection must speak the same version. */
export const PROTOCOL = 'troupe2'

/** Items of a stream that may be on their way or wait for the consumer; at this many the producer waits. */
export const STREAM_WINDOW = 16

/**
 * The kinds of envelopes. The kinds from `result` to `end` answer a request of the receiver, `credit` and `cancel` are about
 * a request of the sender, `release` lists pins of the receiver that are no longer needed, and `broken` says that what the
 * receiver sent cannot be read, so that nothing more is sent.
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
  broken: 9,
} as const

/** An encoded value inside an envelope: its tree, whether it is tagged, how many attachments are its. */
export type Payload = [tree: unknown, tagged: boolean, attachments: number]

/** The part of an envelope beside its body, so that it can be answered though its body cannot be read. */
export interface EnvelopeHead {
  readonly kind: number
  /** The number of the request that it is about; 0 for a message that is not answered. */
  readonly request: number
  /** The pin that the receiver lets go of when it has read the envelope, or 0. */
  readonly pin: number
}

/** A packed envelope with the frames that go beside it. */
export interface Packet {
  readonly bytes: Uint8Array
  readonly attachments: Uint8Array[]
}

/**
 * An envelope is a head and a packed body. The head: the bytes of the whole envelope (4), its kind (1), the number of its
 * request (6), how many attachments are its (4), its pin (6), a checksum (4), and whether another envelope follows in the
 * message (1), so that one that was cut off between two envelopes is known to be.
 */
const HEAD_BYTES = 26
const MORE_AT = 25
/** Bytes up to which envelopes leave together; joining them costs a copy. */
const MOST_BATCH_BYTES = 2 ** 20
const CHECKSUM_AT = 21

const packr = new Packr({ useRecords: false })
// Packed values may lie in memory that is soon written over.
const unpackr = new Unpackr({ useRecords: false, copyBuffers: true })

/**
 * Packs an envelope; from here on the values in it may change without changing the message.
 *
 * @throws RangeError if the body is nested too deeply or too large
 */
export function pack({ kind, request, pin }: EnvelopeHead, body: unknown, attachments: Uint8Array[] = []): Packet {
  const bytes = packr.pack(body, RESERVE_START_SPACE | HEAD_BYTES) as Buffer
  bytes.writeUInt32LE(bytes.length, 0)
  bytes[4] = kind
  bytes.writeUIntLE(request, 5, 6)
  bytes.writeUInt32LE(attachments.length, 11)
  bytes.writeUIntLE(pin, 15, 6)
  bytes[MORE_AT] = 0
  return { bytes, attachments }
}

/** The pin of a packed envelope, or 0. */
export function pinOf({ bytes }: Packet): number {
  return (bytes as Buffer).readUIntLE(15, 6)
}

/** The number that the envelopes of a process are counted from, so that they are not taken for those of another. */
export function firstSequence(processId: string): number {
  let sum = 0
  for (const byte of Buffer.from(processId)) sum = Math.imul(sum ^ byte, 0x01000193)
  return sum >>> 0
}

/**
 * Writes the checksum of a packed envelope.
 *
 * @param sequence its number among those of the sender on the connection, which the receiver counts too
 */
export function seal({ bytes }: Packet, sequence: number): void {
  const buffer = bytes as Buffer
  buffer.writeUInt32LE(checksum(buffer, 0, buffer.length, sequence), CHECKSUM_AT)
}

/** FNV-1a of a head, and of the body where that holds no value of a user's that could be told to be broken by itself. */
function checksum(bytes: Uint8Array, start: number, end: number, sequence: number): number {
  let sum = (0x811c9dc5 ^ sequence) | 0
  for (let at = start; at < start + CHECKSUM_AT; at++) sum = Math.imul(sum ^ bytes[at]!, 0x01000193)
  if (bytes[start + 4]! >= envelopes.credit) {
    for (let at = start + HEAD_BYTES; at < end; at++) sum = Math.imul(sum ^ bytes[at]!, 0x01000193)
  }
  return sum >>> 0
}

/** Divides packets into those that leave as one message, in order: many small ones together, large ones alone. */
export function batchesOf(packets: Packet[]): Packet[][] {
  if (packets.length === 1) return [packets]
  const batches: Packet[][] = []
  let room = 0
  for (const packet of packets) {
    const { length } = packet.bytes
    if (length > room) {
      batches.push([])
      room = MOST_BATCH_BYTES
    }
    batches.at(-1)!.push(packet)
    room -= length
  }
  return batches
}

/** Joins packets into the frames of one ZeroMQ message: the envelopes back to back, then all attachments. */
export function join(packets: Packet[]): Uint8Array[] {
  const [first] = packets
  if (packets.length === 1 && first) return [first.bytes, ...first.attachments]
  for (const { bytes } of packets.slice(0, -1)) bytes[MORE_AT] = 1
  const envelopes = Buffer.concat(packets.map((packet) => packet.bytes))
  return [envelopes, ...packets.flatMap((packet) => packet.attachments)]
}

/** An envelope that came in. */
export class ReceivedEnvelope implements EnvelopeHead {
  readonly kind: number
  readonly request: number
  readonly pin: number

  /** @param attachments its own; undefined if the message lacks some of them */
  constructor(
    private readonly packed: Buffer,
    private readonly start: number,
    private readonly end: number,
    private readonly attachments: Uint8Array[] | undefined,
  ) {
    this.kind = packed[start + 4]!
    this.request = packed.readUIntLE(start + 5, 6)
    this.pin = packed.readUIntLE(start + 15, 6)
  }

  /**
   * Unpacks the body, while the memory that the message came in is not written over.
   *
   * @throws Error if that is not possible
   */
  body(): unknown {
    return unpackr.unpack(this.packed, { start: this.start + HEAD_BYTES, end: this.end })
  }

  /**
   * The attachments, to be taken by its payloads one after the other.
   *
   * @throws RangeError if the message lacks some of them
   */
  queue(): AttachmentQueue {
    if (!this.attachments) throw new RangeError('the message lacks some of its attachments')
    return new AttachmentQueue(this.attachments)
  }
}

const NO_ATTACHMENTS: Uint8Array[] = []

/** Reads the envelopes of a message one after the other, as far as their heads. */
export class EnvelopeReader {
  readonly #frames: Uint8Array[]
  readonly #packed: Buffer
  #start = 0
  /** Frames that are attachments of the envelopes so far, and the first. */
  #taken = 1
  #isWhole = false

  /** @throws TypeError if the message is empty */
  constructor(frames: Uint8Array[]) {
    const first = frames[0]
    if (!first || first.length === 0) throw new TypeError('an empty message')
    this.#frames = frames
    this.#packed = Buffer.isBuffer(first) ? first : Buffer.from(first.buffer, first.byteOffset, first.length)
  }

  /**
   * The next envelope; undefined after the last.
   *
   * @param sequence its number among those of the sender
   * @throws TypeError where the bytes are no envelope, or not the one that comes next
   */
  next(sequence: number): ReceivedEnvelope | undefined {
    const packed = this.#packed
    const start = this.#start
    if (this.#isWhole && start >= packed.length) return undefined
    const end = packed.length - start >= HEAD_BYTES ? start + packed.readUInt32LE(start) : 0
    if (end - start < HEAD_BYTES || end > packed.length) throw new TypeError('an envelope that is cut off')
    if (packed.readUInt32LE(start + CHECKSUM_AT) !== checksum(packed, start, end, sequence)) {
      throw new TypeError('an envelope whose checksum is wrong')
    }
    const attachments = this.#attachments(packed.readUInt32LE(start + 11))
    this.#isWhole = packed[start + MORE_AT] === 0
    this.#start = end
    return new ReceivedEnvelope(packed, start, end, attachments)
  }

  /** The next frames beside the first; undefined if there are fewer. */
  #attachments(count: number): Uint8Array[] | undefined {
    if (count === 0) return NO_ATTACHMENTS
    const from = this.#taken
    this.#taken += count
    return this.#taken <= this.#frames.length ? this.#frames.slice(from, this.#taken) : undefined
  }
}

/** The attachments of one envelope, handed out to its payloads one after the other. */
export class AttachmentQueue {
  #next = 0
  readonly #frames: Uint8Array[]

  constructor(frames: Uint8Array[]) {
    this.#frames = frames
  }

  /** @throws RangeError if there are fewer */
  take(count: number): Uint8Array[] {
    if (count === 0) return NO_ATTACHMENTS
    if (!(count <= this.#frames.length - this.#next)) throw new RangeError('a payload with too few attachments')
    this.#next += count
    return this.#frames.slice(this.#next - count, this.#next)
  }
}

/** A payload with its attachments, before it is decoded. */
export interface ReceivedPayload {
  readonly tree: unknown
  readonly tagged: boolean
  readonly attachments: Uint8Array[]
}

/** An encoded value, as it travels in an envelope. */
export function payloadOf({ tree, tagged, attachments }: Encoded): Payload {
  return [tree, tagged, attachments.length]
}

/** Takes a payload's attachments. */
export function received(payload: Payload, queue: AttachmentQueue): ReceivedPayload {
  return { tree: payload[0], tagged: payload[1], attachments: queue.take(payload[2]) }
}

/** The arguments of a request. @throws TypeError if they are no list */
export function listOf(args: unknown): unknown[] {
  if (!Array.isArray(args)) throw new TypeError('a request without a list of arguments')
  return args
}

/** The error for a value that was encoded and cannot be packed. */
export function unpackable(subject: string, error: unknown): Error {
  return new InvalidInputError(
    `${subject} cannot be packed into a message: ${describe(error)}; send it in parts, or what is large as typed arrays`,
    { cause: error },
  )
}

/** The error for a payload that came in for one call and cannot be unpacked. */
export function unreadable(what: string, error: unknown): Error {
  const { code } = error as NodeJS.ErrnoException
  const remedy = code === 'ERR_STRING_TOO_LONG' ? '; send such text in parts, or as a Uint8Array' : ''
  return new TroupeError(`${what} cannot be read: ${describe(error)}${remedy}`, { cause: error })
}
