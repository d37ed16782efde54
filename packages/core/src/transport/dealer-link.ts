import { connect } from 'node:net'
import { formatIdentity, parseIdentity } from './identity.js'
import type { Link, LinkEvents, LinkOptions, PeerIdentity } from './link.js'
import { LinkLostError } from './link.js'
import { Outbox, saysBroken, WatchfulDealer } from './sockets.js'
import { type Parcel, PROTOCOL } from './wire.js'

/** Milliseconds a process may take to answer a connection. */
const CONNECT_TIMEOUT = 5000

/** Milliseconds after which an end that has listened before is looked for, if it has not answered. */
const PROBE_AFTER = 100

/** A receive that waits keeps the process alive, so after these milliseconds a link asks anew whether it may rest. */
const REST_INTERVAL = 500

/** Milliseconds between two looks at what has come in, while a link rests. */
const LOOK_INTERVAL = 50

let connections = 0

/** A connection that this process opened to one of another host. */
export class DealerLink implements Link {
  readonly #socket: WatchfulDealer
  readonly #outbox: Outbox
  readonly #events: LinkEvents
  readonly #endpoint: string
  readonly #early: Parcel[] = []
  readonly #timeout: number
  readonly #mayRest: (() => boolean) | undefined
  readonly #mayBeAsked: (() => boolean) | undefined
  readonly #deadline: NodeJS.Timeout
  #state: 'connecting' | 'open' | 'closed' = 'connecting'
  #resting: (() => void) | undefined
  #receiveTimeout: number | undefined

  constructor(endpoint: string, self: PeerIdentity, events: LinkEvents, options: LinkOptions) {
    this.#endpoint = endpoint
    this.#events = events
    this.#timeout = options.timeout ?? CONNECT_TIMEOUT
    this.#mayRest = options.mayRest
    this.#mayBeAsked = options.mayBeAsked
    this.#socket = new WatchfulDealer(formatIdentity(self, ++connections))
    this.#outbox = new Outbox(this.#socket)
    this.#deadline = setTimeout(() => setImmediate(() => this.#giveUp()), this.#timeout)
    this.#socket.connect(endpoint)
    void this.#receive()
    if (options.hasListened) setTimeout(() => this.#probe(), PROBE_AFTER).unref()
  }

  post(parcel: Parcel): void {
    // Sending before the greeting would make the binding wait for writability, and a receive that waits at the same time
    // can then miss its wake-up.
    if (this.#state === 'connecting') this.#early.push(parcel)
    else if (this.#state === 'open') this.#send(parcel)
    this.wake()
  }

  /** Goes back to receiving after a rest. */
  wake(): void {
    this.#resting?.()
    this.#resting = undefined
  }

  close(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    clearTimeout(this.#deadline)
    this.#socket.close()
    this.wake()
  }

  #waitAtMost(milliseconds: number): void {
    if (this.#state === 'closed' || this.#receiveTimeout === milliseconds) return
    this.#receiveTimeout = milliseconds
    this.#socket.receiveTimeout = milliseconds
  }

  async #rest(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#resting = resolve
      if (this.#mayBeAsked?.()) setTimeout(resolve, LOOK_INTERVAL).unref()
    })
  }

  #send(parcel: Parcel): void {
    this.#outbox.post(parcel, undefined, (error) => this.#lose(String(error)))
  }

  async #receive(): Promise<void> {
    while (this.#state !== 'closed') {
      if (this.#state === 'open' && this.#mayRest?.()) {
        await this.#rest()
        // Others may ask for what this process owns while it rests, which is no reason for it to go on.
        this.#waitAtMost(0)
      } else if (this.#mayRest) this.#waitAtMost(REST_INTERVAL)
      let frames: Uint8Array[]
      try {
        frames = await this.#socket.receive()
      } catch (error) {
        if (!this.#socket.closed && (error as NodeJS.ErrnoException).code === 'EAGAIN') continue
        this.#lose(String(error))
        return
      }
      if (saysBroken(frames)) this.#lose(`the connection to ${this.#endpoint} broke`)
      else if (this.#state === 'connecting') this.#greeted(frames)
      else if (this.#state === 'open') this.#events.received(frames)
    }
  }

  /** ZeroMQ goes on trying where nothing listens any more. */
  #probe(): void {
    if (this.#state !== 'connecting') return
    const { hostname, port } = new URL(this.#endpoint)
    const probe = connect({ host: hostname, port: Number(port) }, () => probe.destroy())
    probe.unref()
    probe.on('error', (error: NodeJS.ErrnoException) => {
      if (this.#state === 'connecting' && error.code === 'ECONNREFUSED') {
        this.#lose(`nothing listens at ${this.#endpoint} any more`)
      }
    })
  }

  /** Runs after a look at what has come in, for a process whose own thread was busy all the while. */
  #giveUp(): void {
    if (this.#state === 'connecting') {
      this.#lose(`nothing answers at ${this.#endpoint} within ${this.#timeout / 1000} s`)
    }
  }

  #greeted([greeting]: Uint8Array[]): void {
    const peer = greeting && parseIdentity(greeting)
    if (!peer) {
      this.#lose(`what answers at ${this.#endpoint} is no Troupe process of version ${PROTOCOL}`)
      return
    }
    clearTimeout(this.#deadline)
    this.#state = 'open'
    this.#events.opened(peer)
    for (const parcel of this.#early.splice(0)) this.#send(parcel)
  }

  #lose(reason: string): void {
    if (this.#state === 'closed') return
    this.close()
    this.#events.lost(new LinkLostError(reason))
  }
}
