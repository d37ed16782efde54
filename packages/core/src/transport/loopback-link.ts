import type { AsyncResource } from 'node:async_hooks'
import { type Link, type LinkEvents, LinkLostError, type PeerIdentity } from './link.js'
import { batchesOf, join, type Packet } from './wire.js'

type Accept = (peer: PeerIdentity, link: Link) => LinkEvents

/** The listeners of this thread, by endpoint, and the context that their handlers run in. */
const listeners = new Map<string, { identity: PeerIdentity; accept: Accept; context: AsyncResource }>()

/** Makes an endpoint of this thread reachable from within it without a socket, until the returned function is called. */
export function listenWithin(
  endpoint: string,
  identity: PeerIdentity,
  context: AsyncResource,
  accept: Accept,
): () => void {
  listeners.set(endpoint, { identity, accept, context })
  return () => listeners.delete(endpoint)
}

export function isWithin(endpoint: string): boolean {
  return listeners.has(endpoint)
}

/**
 * One end of a connection between two identities of the same thread. Packets are bytes already, so the ends share nothing;
 * they arrive in a later turn of the event loop, as over a socket.
 */
export class LoopbackLink implements Link {
  #other!: LoopbackLink
  #events: LinkEvents
  readonly #context: AsyncResource
  #waiting: Packet[] = []
  #isClosed = false

  private constructor(events: LinkEvents, context: AsyncResource) {
    this.#events = events
    this.#context = context
  }

  /** Connects to an endpoint of this thread. */
  static open(endpoint: string, self: PeerIdentity, events: LinkEvents, context: AsyncResource): LoopbackLink {
    const { identity, accept, context: listening } = listeners.get(endpoint)!
    const opened = new LoopbackLink(events, context)
    const accepted = new LoopbackLink(events, listening)
    opened.#other = accepted
    accepted.#other = opened
    setImmediate(() => {
      listening.runInAsyncScope(() => {
        accepted.#events = accept(self, accepted)
      })
      context.runInAsyncScope(() => events.opened(identity))
    })
    return opened
  }

  post(packet: Packet): void {
    if (!this.#isClosed && this.#waiting.push(packet) === 1) setImmediate(() => this.#flush())
  }

  ref(): void {}

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    setImmediate(() => {
      this.#flush()
      this.#other.#lose()
    })
  }

  #flush(): void {
    const packets = this.#waiting.splice(0)
    for (const batch of batchesOf(packets)) {
      if (this.#other.#isClosed) return
      const [bytes, ...attachments] = join(batch)
      // The receiver may keep an attachment, and the sender may change it.
      const frames = [bytes!, ...attachments.map((attachment) => Uint8Array.from(attachment))]
      this.#other.#context.runInAsyncScope(() => this.#other.#events.received(frames))
    }
  }

  #lose(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#context.runInAsyncScope(() => this.#events.lost(new LinkLostError('the other end closed the connection')))
  }
}
