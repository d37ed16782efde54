import { connect, createServer, type Server, type Socket } from 'node:net'
import { debuglog } from 'node:util'
import { FrameReader, frameMessage } from './frames.js'
import { formatIdentity, parseIdentity } from './identity.js'
import { type Link, type LinkEvents, LinkLostError, type LinkOptions, type PeerIdentity } from './link.js'
import { type Parcel, PROTOCOL } from './wire.js'

const debug = debuglog('troupe')

/** Milliseconds a process may take to answer a connection. */
const CONNECT_TIMEOUT = 5000
/** Milliseconds between attempts to connect to a process that does not listen yet. */
const RETRY_INTERVAL = 5
/** A link that could rest finds out within these milliseconds, and then no longer keeps the process alive. */
const REST_INTERVAL = 250
/** Bytes that the first message of a connection, the other end's identity, may have. */
const MOST_IDENTITY_BYTES = 256

/** The abstract socket, which leaves no file behind, of an endpoint `ipc://@NAME`. */
function pathOf(endpoint: string): string {
  return endpoint.replace('ipc://@', '\0')
}

/** Sends parcels over a socket; what is posted in one turn of the event loop leaves as one message. */
class SocketOutbox {
  #waiting: Parcel[] = []

  constructor(private readonly socket: Socket) {}

  post(parcel: Parcel): void {
    // After the microtasks of this turn: the answers to a batch of requests leave together.
    if (this.#waiting.push(parcel) === 1) process.nextTick(() => this.flush())
  }

  flush(): void {
    if (this.#waiting.length === 0 || this.socket.destroyed) return
    const buffers = frameMessage(this.#waiting)
    this.#waiting = []
    // Copying small frames together costs less than handing each to the kernel.
    if (buffers.every((buffer) => buffer.length < 4096)) {
      this.socket.write(Buffer.concat(buffers))
      return
    }
    this.socket.cork()
    for (const buffer of buffers) this.socket.write(buffer)
    this.socket.uncork()
  }
}

/** A connection that this process opened to another one of its host. */
export class LocalLink implements Link {
  readonly #events: LinkEvents
  readonly #endpoint: string
  readonly #self: PeerIdentity
  readonly #mayRest: (() => boolean) | undefined
  readonly #hasListened: boolean
  readonly #deadline: NodeJS.Timeout
  readonly #early: Parcel[] = []
  #rest: NodeJS.Timeout | undefined
  #socket: Socket | undefined
  #outbox: SocketOutbox | undefined
  #state: 'connecting' | 'open' | 'closed' = 'connecting'

  constructor(
    endpoint: string,
    self: PeerIdentity,
    events: LinkEvents,
    { timeout = CONNECT_TIMEOUT, mayRest, hasListened }: LinkOptions,
  ) {
    this.#endpoint = endpoint
    this.#self = self
    this.#events = events
    this.#mayRest = mayRest
    this.#hasListened = hasListened ?? false
    const giveUp = () => {
      if (this.#state === 'connecting') this.#lose(`nothing answers at ${endpoint} within ${timeout / 1000} s`)
    }
    // After a look at what has come in, for a process whose own thread was busy all the while.
    this.#deadline = setTimeout(() => setImmediate(giveUp), timeout)
    this.#connect()
  }

  post(parcel: Parcel): void {
    if (this.#state === 'connecting') this.#early.push(parcel)
    else this.#outbox?.post(parcel)
    this.wake()
  }

  /** Keeps the process alive again after a rest. */
  wake(): void {
    if (!this.#mayRest || this.#state === 'closed') return
    this.#socket?.ref()
    this.#rest ??= setInterval(() => {
      if (this.#state === 'connecting' || !this.#mayRest?.()) return
      this.#socket?.unref()
      clearInterval(this.#rest)
      this.#rest = undefined
    }, REST_INTERVAL)
    this.#rest.unref()
  }

  close(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    clearTimeout(this.#deadline)
    clearInterval(this.#rest)
    this.#outbox?.flush()
    this.#socket?.destroySoon()
  }

  #connect(): void {
    const socket = connect({ path: pathOf(this.#endpoint) })
    const reader = new FrameReader((frames) => this.#received(frames))
    this.#socket = socket
    socket.on('connect', () => {
      this.#outbox = new SocketOutbox(socket)
      this.#outbox.post({ bytes: Buffer.from(formatIdentity(this.#self)), attachments: [] })
    })
    socket.on('data', (piece) => {
      try {
        reader.push(piece)
      } catch (error) {
        this.#lose(`the connection to ${this.#endpoint} carries no messages: ${error}`)
      }
    })
    let refused = false
    socket.on('error', (error: NodeJS.ErrnoException) => {
      refused = error.code === 'ECONNREFUSED' && !this.#hasListened
    })
    socket.on('close', () => {
      if (refused && this.#state === 'connecting') setTimeout(() => this.#retry(), RETRY_INTERVAL)
      else this.#lose(`the connection to ${this.#endpoint} broke`)
    })
    this.wake()
  }

  #retry(): void {
    if (this.#state === 'connecting') this.#connect()
  }

  #received(frames: Uint8Array[]): void {
    if (this.#state === 'open') this.#events.received(frames)
    else if (this.#state === 'connecting') this.#greeted(frames)
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
    for (const parcel of this.#early.splice(0)) this.#outbox!.post(parcel)
  }

  #lose(reason: string): void {
    if (this.#state === 'closed') return
    this.close()
    this.#events.lost(new LinkLostError(reason))
  }
}

/** Where other processes of this host reach this one. Each of their connections becomes a link. */
export class LocalListener {
  readonly #greeting: Parcel
  readonly #accept: (peer: PeerIdentity, link: Link) => LinkEvents
  readonly #links = new Set<AcceptedLink>()
  readonly #server: Server

  /** @param accept called for each new connection; returns who is told of what happens on it */
  constructor(self: PeerIdentity, accept: (peer: PeerIdentity, link: Link) => LinkEvents) {
    this.#greeting = { bytes: Buffer.from(formatIdentity(self)), attachments: [] }
    this.#accept = accept
    this.#server = createServer((socket) => this.#connected(socket))
  }

  async bind(endpoint: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject).listen({ path: pathOf(endpoint) }, resolve)
    })
  }

  close(): void {
    this.#server.close()
    for (const link of this.#links) link.end('this process stopped listening')
  }

  #connected(socket: Socket): void {
    const link = new AcceptedLink(socket, (ended) => this.#links.delete(ended))
    this.#links.add(link)
    const reader = new FrameReader((frames) => {
      if (link.events) {
        link.events.received(frames)
        return
      }
      this.#identified(link, frames)
      reader.limit = Number.POSITIVE_INFINITY
    })
    reader.limit = MOST_IDENTITY_BYTES
    socket.on('error', (error) => debug('a connection failed: %s', error))
    socket.on('close', () => link.end('its connection ended'))
    socket.on('data', (piece) => {
      try {
        reader.push(piece)
      } catch (error) {
        debug('a connection was dropped: %s', error)
        socket.destroy()
      }
    })
  }

  #identified(link: AcceptedLink, [identity]: Uint8Array[]): void {
    const peer = identity && parseIdentity(identity)
    if (!peer) throw new TypeError('what connected is no Troupe process')
    link.post(this.#greeting)
    link.events = this.#accept(peer, link)
  }
}

/** A connection that another process of this host opened. */
class AcceptedLink implements Link {
  /** Who is told of what happens; unknown until the other end has said who it is. */
  events: LinkEvents | undefined
  readonly #outbox: SocketOutbox
  #closed = false

  constructor(
    private readonly socket: Socket,
    private readonly forget: (link: AcceptedLink) => void,
  ) {
    this.#outbox = new SocketOutbox(socket)
  }

  post(parcel: Parcel): void {
    if (!this.#closed) this.#outbox.post(parcel)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.forget(this)
    this.#outbox.flush()
    this.socket.destroySoon()
  }

  end(reason: string): void {
    if (this.#closed) return
    this.close()
    this.events?.lost(new LinkLostError(reason))
  }
}
