import { connect } from 'node:net'
import type { Dealer } from 'zeromq'
import { Deferred } from '../common/deferred.js'
import { introduce } from './identity.js'
import type { LinkEvents, LinkOptions, PeerIdentity } from './link.js'
import { OpenedLink } from './opened-link.js'
import type { Secret } from './secret.js'
import { Outbox, saysBroken, watchfulDealer } from './sockets.js'

/** Milliseconds after which an end that has listened before is looked for: ZeroMQ goes on trying where nothing listens. */
const PROBE_AFTER = 100

/** A receive that waits keeps the process alive, so after these milliseconds a link asks anew whether it still has to. */
const UNREF_INTERVAL = 500

/** Milliseconds between two looks at what has come in, while nothing is awaited. */
const LOOK_INTERVAL = 50

let connections = 0

/**
 * A connection that this process opened to one of another host. Nothing is sent before the greeting: the binding would wait
 * for writability, and a receive that waits at the same time can then miss its wake-up.
 */
export class DealerLink extends OpenedLink {
  readonly #socket: Dealer
  readonly #outbox: Outbox
  readonly #mayUnref: (() => boolean) | undefined
  readonly #mayBeAsked: (() => boolean) | undefined
  /** Takes what comes in, once the other end has answered. */
  #receiver: LinkEvents | undefined
  #paused: Deferred | undefined
  #receiveTimeout: number | undefined

  constructor(endpoint: string, self: PeerIdentity, secret: Secret, events: LinkEvents, options: LinkOptions) {
    super(endpoint, secret, events, options)
    this.#mayUnref = options.mayUnref
    this.#mayBeAsked = options.mayBeAsked
    this.#socket = watchfulDealer(introduce(self, secret, 'connecting', endpoint, ++connections), secret)
    this.#outbox = new Outbox(this.#socket)
    this.#socket.connect(endpoint)
    void this.#receive()
    if (options.hasListened) setTimeout(() => this.#probe(), PROBE_AFTER).unref()
  }

  /** Goes back to receiving. */
  ref(): void {
    this.#paused?.resolve()
    this.#paused = undefined
  }

  protected shut(): void {
    this.#socket.close()
    this.ref()
  }

  #waitAtMost(milliseconds: number): void {
    if (this.state === 'closed' || this.#receiveTimeout === milliseconds) return
    this.#receiveTimeout = milliseconds
    this.#socket.receiveTimeout = milliseconds
  }

  async #pause(): Promise<void> {
    this.#paused = new Deferred()
    if (this.#mayBeAsked?.()) setTimeout(this.#paused.resolve, LOOK_INTERVAL).unref()
    await this.#paused.promise
  }

  async #receive(): Promise<void> {
    while (this.state !== 'closed') {
      if (this.state === 'open' && this.#mayUnref?.()) {
        await this.#pause()
        // Others may ask for what this process owns meanwhile, which is no reason for it to go on.
        this.#waitAtMost(0)
      } else if (this.#mayUnref) this.#waitAtMost(UNREF_INTERVAL)
      let frames: Uint8Array[]
      try {
        frames = await this.#socket.receive()
      } catch (error) {
        if (!this.#socket.closed && (error as NodeJS.ErrnoException).code === 'EAGAIN') continue
        this.lose(String(error))
        return
      }
      if (this.isClosed) return
      if (saysBroken(frames)) this.lose(`the connection to ${this.endpoint} broke`)
      else if (this.#receiver) this.#receiver.received(frames)
      else this.#greeted(frames[0])
    }
  }

  #greeted(greeting: Uint8Array | undefined): void {
    const peer = this.recognized(greeting)
    if (!peer) return
    const lost = (error: unknown) => this.lose(String(error))
    this.#receiver = this.opened(peer, (packet) => this.#outbox.post(packet, undefined, lost))
  }

  /** Gives up if nothing listens any more, where ZeroMQ goes on trying. */
  #probe(): void {
    if (this.state !== 'connecting') return
    const { hostname, port } = new URL(this.endpoint)
    const probe = connect({ host: hostname, port: Number(port) }, () => probe.destroy())
    probe.unref()
    probe.on('error', (error: NodeJS.ErrnoException) => {
      if (this.state === 'connecting' && error.code === 'ECONNREFUSED') {
        this.lose(`nothing listens at ${this.endpoint} any more`)
      }
    })
  }
}
