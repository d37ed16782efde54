import type { Packet } from './wire.js'
import { join } from './wire.js'

/**
 * A message on a byte stream: the length of its first frame and the number of the others (4 bytes each), the lengths of
 * the others (6 bytes each), then all frames.
 */
const HEAD_BYTES = 8
const LENGTH_BYTES = 6

/** The buffers to write for some packets, which leave as one message. */
export function frameMessage(packets: Packet[]): Uint8Array[] {
  const [first, ...others] = join(packets)
  const head = Buffer.allocUnsafe(HEAD_BYTES + others.length * LENGTH_BYTES)
  head.writeUInt32LE(first!.length, 0)
  head.writeUInt32LE(others.length, 4)
  others.forEach((frame, index) => {
    head.writeUIntLE(frame.length, HEAD_BYTES + index * LENGTH_BYTES, LENGTH_BYTES)
  })
  return [head, first!, ...others]
}

/** Puts messages together again from the pieces that a byte stream arrives in. */
export class FrameReader {
  /** The most bytes that a message may have. */
  limit = Number.POSITIVE_INFINITY
  readonly #take: (frames: Uint8Array[]) => void
  /** The beginning of a message whose lengths have not all come. */
  #head: Buffer | undefined
  #lengths: number[] = []
  #frames: Uint8Array[] = []
  /** How much of the frame that is coming has come. */
  #filled = 0
  #isSkipping = false

  /** @param take called with the frames of each message; those after the first may be kept */
  constructor(take: (frames: Uint8Array[]) => void) {
    this.#take = take
  }

  /**
   * Takes the next piece, which is not needed afterwards.
   *
   * @throws RangeError if a message claims to be larger than the limit, or than memory
   */
  push(piece: Buffer): void {
    let at = 0
    this.#isSkipping = false
    while ((at < piece.length && !this.#isSkipping) || this.#isWhole()) {
      if (this.#isWhole()) {
        const frames = this.#frames
        this.#frames = []
        this.#lengths = []
        this.#take(frames)
      } else if (this.#lengths.length === 0) {
        at = this.#readHead(piece, at)
      } else {
        at = this.#readFrame(piece, at)
      }
    }
    // The first frame of a message whose other frames are yet to come.
    if (this.#frames.length > 0 && this.#frames[0]!.buffer === piece.buffer)
      this.#frames[0] = Buffer.from(this.#frames[0]!)
  }

  /** Passes over the rest of the piece that is being taken. */
  skip(): void {
    this.#isSkipping = true
  }

  #isWhole(): boolean {
    return this.#lengths.length > 0 && this.#frames.length === this.#lengths.length && this.#filled === 0
  }

  #readHead(piece: Buffer, at: number): number {
    const before = this.#head?.length ?? 0
    const known = this.#head ? Buffer.concat([this.#head, piece.subarray(at)]) : piece.subarray(at)
    const needed = known.length < HEAD_BYTES ? HEAD_BYTES : HEAD_BYTES + known.readUInt32LE(4) * LENGTH_BYTES
    if (needed > this.limit) throw new RangeError(`a message of more than ${this.limit} bytes`)
    if (known.length < needed) {
      this.#head = Buffer.from(known)
      return piece.length
    }
    this.#head = undefined
    this.#lengths = [known.readUInt32LE(0)]
    for (let offset = HEAD_BYTES; offset < needed; offset += LENGTH_BYTES) {
      this.#lengths.push(known.readUIntLE(offset, LENGTH_BYTES))
    }
    const total = this.#lengths.reduce((sum, length) => sum + length)
    if (total > this.limit) throw new RangeError(`a message of ${total} bytes, where ${this.limit} are allowed`)
    this.#skipEmpty()
    return at + needed - before
  }

  #readFrame(piece: Buffer, at: number): number {
    const index = this.#filled > 0 ? this.#frames.length - 1 : this.#frames.length
    const length = this.#lengths[index]!
    // The first frame is read at once and may lie in the piece; the others may be kept, so they get memory of their own.
    if (index === 0 && this.#filled === 0 && piece.length - at >= length) {
      this.#frames.push(piece.subarray(at, at + length))
      this.#skipEmpty()
      return at + length
    }
    if (this.#filled === 0) this.#frames.push(Buffer.allocUnsafeSlow(length))
    const count = Math.min(length - this.#filled, piece.length - at)
    this.#frames[index]!.set(piece.subarray(at, at + count), this.#filled)
    this.#filled += count
    if (this.#filled === length) {
      this.#filled = 0
      this.#skipEmpty()
    }
    return at + count
  }

  #skipEmpty(): void {
    while (this.#frames.length < this.#lengths.length && this.#lengths[this.#frames.length] === 0) {
      this.#frames.push(new Uint8Array())
    }
  }
}
