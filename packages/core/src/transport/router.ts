import { debuglog } from 'node:util'
import type { Router } from 'zeromq'
import { introduce, recognize } from './identity.js'
import { type Link, type LinkEvents, LinkLostError, type PeerIdentity } from './link.js'
import type { Secret } from './secret.js'
import { SocketUnref } from './socket-unref.js'
import { greetingRouter, Outbox, saysEnded } from './sockets.js'
import type { Packet } from './wire.js'

const debug = debuglog('troupe')

/** The socket that processes of other hosts reach this one at. Each of their connections becomes a link. */
export class RouterListener {
  readonly #secret: Secret
  readonly #socket: Router
  readonly #outbox: Outbox
  readonly #links = new Map<string, RouterLink>()
  readonly #accept: (peer: PeerIdentity, link: Link) => LinkEvents
  readonly #unref: SocketUnref | undefined

  /**
   * @param accept called for each new connection; returns who is told of what happens on it
   * @param mayUnref whether nothing is awaited, so that listening need not keep the process alive; never by default
   */
  constructor(
    self: PeerIdentity,
    secret: Secret,
    accept: (peer: PeerIdentity, link: Link) => LinkEvents,
    mayUnref: (() => boolean) | undefined,
  ) {
    this.#secret = secret
    this.#socket = greetingRouter(introduce(self, secret, 'listening', 'tcp://'), secret)
    this.#outbox = new Outbox(this.#socket)
    this.#accept = accept
    this.#unref = mayUnref && new SocketUnref(this.#socket, mayUnref)
  }

  /** Starts to listen at an endpoint, and returns the endpoint with the port that was chosen for `*`. */
  async bind(endpoint: string): Promise<string> {
    await this.#socket.bind(endpoint)
    return this.#socket.lastEndpoint ?? endpoint
  }

  /** Starts to take in messages; call it after the last bind. */
  start(): void {
    void this.#receive()
  }

  close(): void {
    if (this.#socket.closed) return
    this.#socket.close()
    for (const link of this.#links.values()) link.end('this process stopped listening')
  }

  /** Goes back to receiving, because something is awaited again. */
  ref(): void {
    this.#unref?.ref()
  }

  async #receive(): Promise<void> {
    while (!this.#socket.closed) {
      await this.#unref?.before()
      try {
        const [routingId, ...frames] = await this.#socket.receive()
        if (routingId) this.#take(routingId, frames)
      } catch (error) {
        if (!this.#socket.closed && (error as NodeJS.ErrnoException).code === 'EAGAIN') continue
        this.close()
        debug('listening ended: %s', error)
      }
    }
  }

  #take(routingId: Buffer, frames: Uint8Array[]): void {
    const key = routingId.toString('latin1')
    const link = this.#links.get(key)
    if (saysEnded(frames)) {
      link?.end('its connection ended')
      return
    }
    if (link) {
      link.events.received(frames)
      return
    }
    let peer: PeerIdentity
    try {
      peer = recognize(routingId, this.#secret, 'connecting', 'tcp://')
    } catch (error) {
      debug('a message was dropped: %s', error)
      return
    }
    const created = new RouterLink(routingId, this.#outbox, () => this.#links.delete(key))
    this.#links.set(key, created)
    created.events = this.#accept(peer, created)
    created.events.received(frames)
  }
}

/** A connection that another process opened. */
class RouterLink implements Link {
  events!: LinkEvents
  #closed = false
  readonly #routingId: Buffer
  readonly #outbox: Outbox
  readonly #forget: () => void

  constructor(routingId: Buffer, outbox: Outbox, forget: () => void) {
    this.#routingId = routingId
    this.#outbox = outbox
    this.#forget = forget
  }

  post(packet: Packet): void {
    if (!this.#closed) this.#outbox.post(packet, this.#routingId, (error) => this.end(String(error)))
  }

  close(): void {
    this.#closed = true
    this.#forget()
  }

  end(reason: string): void {
    if (this.#closed) return
    this.close()
    this.events.lost(new LinkLostError(reason))
  }
}
