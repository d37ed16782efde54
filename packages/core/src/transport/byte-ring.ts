import type { RingPoller, Storage } from '@troupe/native'

const WRITTEN = 0
const READ = 16
const ASLEEP = 32
const BLOCKED = 48
const CONTROL_BYTES = 256

/**
 * A byte queue in memory that two processes map, with one writer and one reader. Neither ever waits: each moves what fits.
 * The counters of bytes written and read, which may wrap, and two flags stand in cache lines of their own before the bytes.
 */
export class ByteRing {
  readonly #control: Int32Array
  readonly #bytes: Buffer
  readonly #mask: number

  /** Bytes of memory that a ring of some capacity takes. */
  static footprint(capacity: number): number {
    return CONTROL_BYTES + capacity
  }

  /** @param capacity bytes, a power of two up to 2^30 */
  constructor(memory: ArrayBuffer, offset: number, capacity: number) {
    this.#control = new Int32Array(memory, offset, CONTROL_BYTES / 4)
    this.#bytes = Buffer.from(memory, offset + CONTROL_BYTES, capacity)
    this.#mask = capacity - 1
  }

  get isEmpty(): boolean {
    return Atomics.load(this.#control, WRITTEN) === Atomics.load(this.#control, READ)
  }

  get isFull(): boolean {
    return this.#used() > this.#mask
  }

  /** Has a ring poller watch for what comes in, until the returned function is called. `memory` is what the ring lies in. */
  watchedBy(ringPoller: RingPoller, memory: Storage): () => void {
    const { byteOffset, BYTES_PER_ELEMENT } = this.#control
    const [written, read] = [WRITTEN, READ].map((index) => byteOffset + index * BYTES_PER_ELEMENT) as [number, number]
    const ring = ringPoller.add(memory, written, read)
    return () => ringPoller.remove(ring)
  }

  /** Whether the reader sleeps until it is woken. */
  get isAsleep(): boolean {
    return Atomics.load(this.#control, ASLEEP) === 1
  }

  set isAsleep(asleep: boolean) {
    Atomics.store(this.#control, ASLEEP, asleep ? 1 : 0)
  }

  /** Whether the writer has more than fitted in, and wants to be woken when there is room. */
  get isBlocked(): boolean {
    return Atomics.load(this.#control, BLOCKED) === 1
  }

  set isBlocked(blocked: boolean) {
    Atomics.store(this.#control, BLOCKED, blocked ? 1 : 0)
  }

  /** Takes the reader's sleep upon itself to end; true for only one who asks. */
  claimWaking(): boolean {
    return this.isAsleep && Atomics.compareExchange(this.#control, ASLEEP, 1, 0) === 1
  }

  /** Appends as many bytes as fit, and returns how many. */
  write(bytes: Uint8Array): number {
    const written = Atomics.load(this.#control, WRITTEN)
    const count = Math.min(bytes.length, this.#mask + 1 - this.#used())
    if (count === 0) return 0
    const at = written & this.#mask
    const first = Math.min(count, this.#mask + 1 - at)
    this.#bytes.set(first === bytes.length ? bytes : bytes.subarray(0, first), at)
    if (first < count) this.#bytes.set(bytes.subarray(first, count), 0)
    Atomics.store(this.#control, WRITTEN, (written + count) | 0)
    return count
  }

  /**
   * Passes on what has come in, and returns whether that was anything. The pieces are only valid during the call.
   */
  read(take: (piece: Buffer) => void): boolean {
    const available = this.#used()
    if (available === 0) return false
    const read = Atomics.load(this.#control, READ)
    const at = read & this.#mask
    const count = Math.min(available, this.#mask + 1 - at)
    try {
      take(this.#bytes.subarray(at, at + count))
    } finally {
      Atomics.store(this.#control, READ, (read + count) | 0)
    }
    return true
  }

  #used(): number {
    return (Atomics.load(this.#control, WRITTEN) - Atomics.load(this.#control, READ)) | 0
  }
}
