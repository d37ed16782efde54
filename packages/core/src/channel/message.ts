import { type ChannelReader, type ChannelWriter, type SharedMemoryHandle, Storage } from '@troupe/native'
import { Packr, Unpackr } from 'msgpackr/pack'
import { decode, encode, type Subject } from '../transport/codec.js'

/** Flags in the tag of a message. This one: the message holds type tags. */
const MARKED = 1
const FAILURE = 2
/** The message begins with a table of its parts. */
const ATTACHED = 4
/** The message names a shared memory that holds it. */
const ELSEWHERE = 8

/** Messages up to this many bytes lie in the channel itself. */
export const MOST_INLINE = 4096

const packr = new Packr({ useRecords: false })
const unpackr = new Unpackr({ useRecords: false })
const padding = new Uint8Array(8)

/** A value as it is written into a channel. */
export interface Message {
  readonly tag: number
  readonly pieces: readonly Uint8Array[]
  readonly bytes: number
  /** Functions to call once all readers have taken it. */
  readonly pins: readonly (() => void)[]
}

const NO_PINS: readonly (() => void)[] = []

/** Whether a value is a string that fits into any channel, and that msgpack carries as it is. */
export function isShortString(value: unknown): value is string {
  return typeof value === 'string' && value.length <= 64 && value.isWellFormed()
}

export function packPlain(value: string): Uint8Array {
  return packr.pack(value)
}

/**
 * Makes the message of a value as it is now.
 *
 * @throws InvalidInputError naming the path of what cannot be sent
 */
export function messageOf(value: unknown, subject: Subject, isFailure = false): Message {
  const { tree, tagged, attachments, pins } = encode(value, subject, true)
  const packed: Uint8Array = packr.pack(tree)
  let tag = (tagged ? MARKED : 0) | (isFailure ? FAILURE : 0)
  let pieces = [packed]
  let bytes = packed.length
  if (attachments.length > 0) {
    tag |= ATTACHED
    pieces = withTable([packed, ...attachments])
    bytes = pieces.reduce((sum, piece) => sum + piece.length, 0)
  }
  if (bytes <= MOST_INLINE) return { tag, pieces, bytes, pins: pins.length > 0 ? pins : NO_PINS }
  const storage = new Storage(bytes, true)
  const all = new Uint8Array(storage.buffer)
  let at = 0
  for (const piece of pieces) {
    all.set(piece, at)
    at += piece.length
  }
  const handle = packr.pack(storage.handle)
  return { tag: tag | ELSEWHERE, pieces: [handle], bytes: handle.length, pins: [...pins, () => storage.release()] }
}

/** Parts with a table before them, each at a multiple of 8 bytes, so that arrays can be seen in place. */
function withTable(parts: readonly Uint8Array[]): Uint8Array[] {
  const table = new Uint32Array(2 + 2 * (parts.length >> 1))
  table[0] = parts.length
  parts.forEach((part, index) => {
    table[1 + index] = part.length
  })
  const pieces: Uint8Array[] = [new Uint8Array(table.buffer)]
  for (const part of parts) pieces.push(part, padding.subarray(0, -part.length & 7))
  return pieces
}

/** Publishes a message; false when the channel is full. */
export function writeMessage(writer: ChannelWriter, { tag, pieces }: Message): boolean {
  return pieces.length === 1 ? writer.write(tag, pieces[0]!) : writer.write(tag, ...pieces)
}

/** Stands for a message where none has come. */
export const NOTHING: unique symbol = Symbol('no message')

/** Takes messages out of a channel. */
export class MessageReader {
  /** Whether the last message that was taken is about a failure. */
  isFailure = false
  readonly #bytes: Buffer
  readonly #frame: Uint32Array
  readonly #range = { start: 0, end: 0 }
  /** Messages in a row whose sender still has to hold what they pin, and those after them. */
  readonly #unacknowledged: { isDone: boolean }[] = []
  #isClosing = false

  constructor(readonly native: ChannelReader) {
    this.#bytes = Buffer.from(native.buffer)
    this.#frame = native.frame
  }

  /**
   * Takes the next message; {@link NOTHING} if none has come. If the channel allows it, this thread waits for one, at most
   * for some microseconds. A message that cannot be read is a failure too.
   */
  next(microseconds: number): unknown {
    let scalar: unknown = this.native
    if (this.#unacknowledged.length === 0) scalar = this.native.takeScalar(microseconds)
    else if (!this.native.peek(microseconds)) return NOTHING
    if (scalar !== this.native) {
      this.isFailure = false
      return scalar === undefined ? NOTHING : scalar
    }
    try {
      return this.#take()
    } catch (error) {
      this.isFailure = true
      return error
    }
  }

  #take(): unknown {
    const range = this.#range
    const tag = this.#frame[2]!
    this.isFailure = (tag & FAILURE) !== 0
    range.start = this.#frame[0]!
    range.end = this.#frame[1]!
    if ((tag & ~FAILURE) === 0) {
      const value = unpackr.unpack(this.#bytes, range)
      if (this.#unacknowledged.length === 0) this.native.advance()
      else this.#advance([])
      return value
    }
    const kept: Promise<unknown>[] = []
    try {
      return this.#open(tag, kept)
    } finally {
      this.#advance(kept)
    }
  }

  #open(tag: number, kept: Promise<unknown>[]): unknown {
    const keep = (until: Promise<unknown>) => void kept.push(until)
    let bytes = this.#bytes
    let { start, end } = this.#range
    if (tag & ELSEWHERE) {
      const storage = new Storage(unpackr.unpack(bytes, this.#range) as SharedMemoryHandle)
      bytes = Buffer.from(storage.buffer)
      start = 0
      end = bytes.length
    }
    if (!(tag & ATTACHED)) return decode(unpackr.unpack(bytes, { start, end }), (tag & MARKED) !== 0, [], true, keep)
    const count = bytes.readUInt32LE(start)
    let at = start + 8 + 8 * (count >> 1)
    const parts = Array.from({ length: count }, (_, index) => {
      const length = bytes.readUInt32LE(start + 4 + 4 * index)
      const part = bytes.subarray(at, at + length)
      at += length + (-length & 7)
      return part
    })
    const [tree, ...attached] = parts
    // Bytes in the ring are overwritten by later messages.
    const attachments = tag & ELSEWHERE ? attached : attached.map((part) => Uint8Array.from(part))
    return decode(unpackr.unpack(tree!), (tag & MARKED) !== 0, attachments, true, keep)
  }

  /** Messages are acknowledged in order, each when the sender need not hold what it pinned any more. */
  #advance(kept: readonly Promise<unknown>[]): void {
    if (kept.length === 0 && this.#unacknowledged.length === 0) {
      this.native.advance()
      return
    }
    this.native.advance(false)
    const entry = { isDone: kept.length === 0 }
    this.#unacknowledged.push(entry)
    if (entry.isDone) return
    void Promise.allSettled(kept).then(() => {
      entry.isDone = true
      const first = this.#unacknowledged.findIndex(({ isDone }) => !isDone)
      const done = first < 0 ? this.#unacknowledged.length : first
      this.#unacknowledged.splice(0, done)
      if (done > 0) this.native.acknowledge(done)
      if (this.#isClosing && first < 0) this.native.close()
    })
  }

  /** Closes the reader once nothing has to be held for what it has taken. */
  protected closeWhenTaken(): void {
    this.#isClosing = true
    if (this.#unacknowledged.length === 0) this.native.close()
  }
}
