import { recognize } from './identity.js'
import { type Link, type LinkEvents, LinkLostError, type LinkOptions, type PeerIdentity } from './link.js'
import type { Secret } from './secret.js'
import type { Packet } from './wire.js'

/** Milliseconds that a process may take to answer a connection, however short of CPU it is. */
const CONNECT_TIMEOUT = 30_000

/** A connection that this process opens. Posted packets wait until the other end has said who it is. */
export abstract class OpenedLink implements Link {
  post: (packet: Packet) => void = (packet) => this.#early.push(packet)
  protected state: 'connecting' | 'open' | 'closed' = 'connecting'
  readonly #events: LinkEvents
  readonly #secret: Secret
  readonly #early: Packet[] = []
  readonly #deadline: NodeJS.Timeout

  constructor(
    protected readonly endpoint: string,
    secret: Secret,
    events: LinkEvents,
    { timeout = CONNECT_TIMEOUT }: LinkOptions,
  ) {
    this.#events = events
    this.#secret = secret
    const giveUp = () => {
      if (this.state === 'connecting') this.lose(`nothing answers at ${endpoint} within ${timeout / 1000} s`)
    }
    // After a look at what has come in, for a process whose own thread was busy all the while.
    this.#deadline = setTimeout(() => setImmediate(giveUp), timeout)
  }

  close(): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.post = () => {}
    clearTimeout(this.#deadline)
    this.shut()
  }

  protected get isClosed(): boolean {
    return this.state === 'closed'
  }

  /** A process is there and will answer, or end: however busy it is, nothing is gained by giving up. */
  protected reached(): void {
    clearTimeout(this.#deadline)
  }

  /** Keeps the process alive, or receives, again after a rest. */
  abstract ref(): void

  /** Closes the socket. */
  protected abstract shut(): void

  /** The process that has answered; undefined where that is not believed, and the link is lost. */
  protected recognized(greeting: Uint8Array | undefined): PeerIdentity | undefined {
    if (this.state !== 'connecting') return undefined
    try {
      return recognize(greeting, this.#secret, 'listening', this.endpoint)
    } catch (error) {
      this.lose(`what answers at ${this.endpoint} is not trusted: ${(error as Error).message}`)
      return undefined
    }
  }

  /** Sends packets from now on, those first that were posted before. Returns the receiver of what comes in. */
  protected opened(peer: PeerIdentity, post: (packet: Packet) => void): LinkEvents {
    this.#events.opened(peer)
    clearTimeout(this.#deadline)
    this.state = 'open'
    this.post = post
    for (const packet of this.#early.splice(0)) post(packet)
    return this.#events
  }

  protected lose(reason: string): void {
    if (this.state === 'closed') return
    this.close()
    this.#events.lost(new LinkLostError(reason))
  }
}
