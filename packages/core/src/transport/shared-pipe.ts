import { RingPoller, type SharedMemoryHandle, Storage } from '@troupe/native'

/** Bytes that may be on their way in each direction; what is more waits in the sender. */
export const CAPACITY = 2 ** 18
/**
 * Milliseconds after a message in which the next one is polled for. To sleep and be woken costs two processes some 60
 * microseconds together, more than all the rest of a small call.
 */
const POLL = 0.2
/** Microseconds of polling before the event loop has its turn. */
const TURN = 40

/** Places of a ring's counters and flags, as 32-bit integers: a cache line each. */
const WRITTEN = 0
const READ = 16
const ASLEEP = 32
const BLOCKED = 48
const CONTROL_BYTES = 256

/** The pipes of this thread, which are polled together. */
const pipes = new Set<SharedPipe>()
const poller = new RingPoller()
let isPolling = false
/** Milliseconds that are polled: none after messages that were far between. */
let pollFor = 0
let lastActivity = 0
let pollUntil = 0

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
 * costs no system call; an end that sleeps is woken through `wake`, which a socket between the two carries.
 */
export class SharedPipe {
  readonly #incoming: ByteRing
  readonly #outgoing: ByteRing
  readonly #backlog: Uint8Array[] = []
  readonly #unwatch: () => void

  /**
   * @param isFirst whether this end has allocated the memory
   * @param take is passed what comes in, which is only valid during the call
   * @param wake makes the other end call {@link woken}
   */
  constructor(
    memory: Storage,
    isFirst: boolean,
    private readonly take: (piece: Buffer) => void,
    private readonly wake: () => void,
  ) {
    const [first, second] = [0, ByteRing.footprint(CAPACITY)].map(
      (offset) => new ByteRing(memory.buffer, offset, CAPACITY),
    ) as [ByteRing, ByteRing]
    this.#incoming = isFirst ? first : second
    this.#outgoing = isFirst ? second : first
    pipes.add(this)
    this.#unwatch = this.#incoming.watchedBy(poller, memory)
    if (!isPolling && !this.sleep()) startPolling()
  }

  /** Sends bytes; those that do not fit must not change until they have left. */
  write(buffers: Uint8Array[]): void {
    for (const buffer of buffers) {
      const sent = this.#backlog.length > 0 ? 0 : this.#outgoing.write(buffer)
      if (sent < buffer.length) this.#backlog.push(sent === 0 ? buffer : buffer.subarray(sent))
    }
    this.#wakeOther()
    noteActivity(performance.now())
    if (pollFor > 0 || this.#backlog.length > 0) startPolling()
  }

  /** Whether all that was written is in the memory that both ends have. */
  get hasLeft(): boolean {
    return this.#backlog.length === 0
  }

  /** The other end has something for this one. */
  woken(): void {
    const now = performance.now()
    pollFor = now - lastActivity < 2 * POLL ? POLL : 0
    if (pipes.has(this)) this.poll()
    noteActivity(now)
    startPolling()
  }

  /** Takes what is new, sends what did not fit before, and returns whether there was any of either. */
  poll(): boolean {
    const received = this.#incoming.read(this.take)
    if (received && this.#incoming.isBlocked) this.#wakeOther()
    return this.#advance() || received
  }

  /** Asks to be woken from now on, and returns true, unless there is something new already. */
  sleep(): boolean {
    this.#incoming.isAsleep = true
    this.#outgoing.isBlocked = this.#backlog.length > 0
    if (this.#incoming.isEmpty && (this.#backlog.length === 0 || this.#outgoing.isFull)) return true
    this.#incoming.isAsleep = false
    return false
  }

  /** Needs not be woken any more. */
  rise(): void {
    this.#incoming.isAsleep = false
  }

  /** Takes what has come in, when the other end has gone. */
  drain(): void {
    while (this.#incoming.read(this.take));
  }

  /** Takes nothing more. */
  close(): void {
    if (pipes.delete(this)) this.#unwatch()
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

  /** Has a poller look for what comes in, until the returned function is called. `memory` is what the ring lies in. */
  watchedBy(poller: RingPoller, memory: Storage): () => void {
    const { byteOffset, BYTES_PER_ELEMENT } = this.#control
    const [written, read] = [WRITTEN, READ].map((index) => byteOffset + index * BYTES_PER_ELEMENT) as [number, number]
    const ring = poller.add(memory, written, read)
    return () => poller.remove(ring)
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

function noteActivity(now: number): void {
  lastActivity = now
  pollUntil = now + pollFor
}

function startPolling(): void {
  if (isPolling) return
  isPolling = true
  for (const pipe of pipes) pipe.rise()
  setImmediate(look)
}

function look(): void {
  if (pollAll() || (pollFor > 0 && poller.poll(TURN) && pollAll())) noteActivity(performance.now())
  if (performance.now() < pollUntil || !allAsleep()) setImmediate(look)
  else isPolling = false
}

function pollAll(): boolean {
  let isNew = false
  for (const pipe of pipes) isNew = pipe.poll() || isNew
  return isNew
}

function allAsleep(): boolean {
  for (const pipe of pipes) {
    if (pipe.sleep()) continue
    for (const other of pipes) other.rise()
    return false
  }
  return true
}
