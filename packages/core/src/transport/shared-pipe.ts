import { type RingPoller, type SharedMemoryHandle, Storage } from '@troupe/native'
import { ByteRing } from './byte-ring.js'
import { type Polled, type Watching, watch } from './poller.js'

/** Bytes that may be on their way in each direction; what is more waits in the sender. */
export const CAPACITY = 2 ** 18

/** The memory of a new pipe, which the other end opens by its handle. */
export function allocatePipe(): Storage {
  return new Storage(2 * ByteRing.footprint(CAPACITY), true)
}

/** @throws Error if the memory cannot be mapped, as between containers that do not see each other's processes */
export function openPipe(handle: SharedMemoryHandle): Storage {
  return new Storage(handle)
}

/**
 * Two byte streams, one in each direction, through memory that two processes of a host map. While both are awake a message
 * costs no system call; who sleeps is woken through `wake`, which a socket between the two carries.
 */
export class SharedPipe implements Polled {
  readonly #incoming: ByteRing
  readonly #outgoing: ByteRing
  readonly #backlog: Uint8Array[] = []
  readonly #watching: Watching

  /**
   * @param isFirst whether this end has allocated the memory
   * @param take is passed what comes in, which is only valid during the call
   * @param wake makes the other end call {@link woken}
   */
  constructor(
    private readonly memory: Storage,
    isFirst: boolean,
    private readonly take: (piece: Buffer) => void,
    private readonly wake: () => void,
  ) {
    const [first, second] = [0, ByteRing.footprint(CAPACITY)].map(
      (offset) => new ByteRing(memory.buffer, offset, CAPACITY),
    ) as [ByteRing, ByteRing]
    this.#incoming = isFirst ? first : second
    this.#outgoing = isFirst ? second : first
    this.#watching = watch(this)
  }

  /** Sends bytes; those that do not fit must not change until they have left. */
  write(buffers: Uint8Array[]): void {
    for (const buffer of buffers) {
      const sent = this.#backlog.length > 0 ? 0 : this.#outgoing.write(buffer)
      if (sent < buffer.length) this.#backlog.push(sent === 0 ? buffer : buffer.subarray(sent))
    }
    this.#wakeOther()
    this.#watching.active(this.#backlog.length > 0)
  }

  /** Whether all that was written is in the memory that both ends have. */
  get hasLeft(): boolean {
    return this.#backlog.length === 0
  }

  /** The other end has something for this one. */
  woken(): void {
    this.#watching.woken()
  }

  watchedBy(ringPoller: RingPoller): () => void {
    return this.#incoming.watchedBy(ringPoller, this.memory)
  }

  poll(): boolean {
    const received = this.#incoming.read(this.take)
    if (received && this.#incoming.isBlocked) this.#wakeOther()
    return this.#advance() || received
  }

  sleep(): boolean {
    this.#incoming.isAsleep = true
    this.#outgoing.isBlocked = this.#backlog.length > 0
    if (this.#incoming.isEmpty && (this.#backlog.length === 0 || this.#outgoing.isFull)) return true
    this.#incoming.isAsleep = false
    return false
  }

  rise(): void {
    this.#incoming.isAsleep = false
  }

  /** Takes what has come in, when the other end has gone. */
  drain(): void {
    while (this.#incoming.read(this.take));
  }

  /** Takes nothing more. */
  close(): void {
    this.#watching.end()
  }

  /** Sends what did not fit before. */
  #advance(): boolean {
    let hasMoved = false
    for (let first = this.#backlog[0]; first; first = this.#backlog[0]) {
      const sent = this.#outgoing.write(first)
      if (sent > 0) hasMoved = true
      if (sent < first.length) {
        this.#backlog[0] = first.subarray(sent)
        break
      }
      this.#backlog.shift()
    }
    if (hasMoved) this.#wakeOther()
    return hasMoved
  }

  #wakeOther(): void {
    if (this.#outgoing.claimWaking()) this.wake()
  }
}
