import { connect, createServer, type Server, type Socket } from 'node:net'
import { debuglog } from 'node:util'
import { formatIdentity, parseIdentity } from './identity.js'
import { type Link, type LinkEvents, LinkLostError, type LinkOptions, type PeerIdentity } from './link.js'
import { LocalStream } from './local-stream.js'
import { type Parcel, PROTOCOL } from './wire.js'

const debug = debuglog('troupe')

/** Milliseconds a process may take to answer a connection. */
const CONNECT_TIMEOUT = 5000
/** Milliseconds between attempts to connect to a process that does not listen yet. */
const RETRY_INTERVAL = 5
/** A link that could rest finds out within these milliseconds, and then no longer keeps the process alive. */
const REST_INTERVAL = 250

/** The abstract socket, which leaves no file behind, of an endpoint `ipc://@NAME`. */
function pathOf(endpoint: string): string {
  return endpoint.replace('ipc://@', '\0')
}

/** A connection that this process opened to another one of its host. */
export class LocalLink implements Link {
  readonly #events: LinkEvents
  readonly #endpoint: string
  readonly #self: PeerIdentity
  readonly #mayRest: (() => boolean) | undefined
  readonly #deadline: NodeJS.Timeout
  readonly #early: Parcel[] = []
  #rest: NodeJS.Timeout | undefined
  #socket: Socket | undefined
  #stream: LocalStream | undefined
  #state: 'connecting' | 'open' | 'closed' = 'connecting'

  constructor(
    endpoint: string,
    self: PeerIdentity,
    events: LinkEvents,
    { timeout = CONNECT_TIMEOUT, mayRest }: LinkOptions,
  ) {
    this.#endpoint = endpoint
    this.#self = self
    this.#events = events
    this.#mayRest = mayRest
    const giveUp = () => {
      if (this.#state === 'connecting') this.#lose(`nothing answers at ${endpoint} within ${timeout / 1000} s`)
    }
    // After a look at what has come in, for a process whose own thread was busy all the while.
    this.#deadline = setTimeout(() => setImmediate(giveUp), timeout)
    this.#connect()
  }

  post(parcel: Parcel): void {
    if (this.#state === 'connecting') this.#early.push(parcel)
    else this.#stream?.post(parcel)
    this.wake()
  }

  /** Keeps the process alive again after a rest. */
  wake(): void {
    if (this.#rest || !this.#mayRest || this.#state === 'closed') return
    this.#socket?.ref()
    this.#rest = setInterval(() => {
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
    this.#stream?.close()
  }

  #connect(): void {
    const socket = connect({ path: pathOf(this.#endpoint) })
    let peer: PeerIdentity | undefined
    const stream = new LocalStream(socket, {
      greeted: (greeting) => {
        peer = parseIdentity(greeting)
        if (!peer) throw new Error(`what answers at ${this.#endpoint} is no Troupe process of version ${PROTOCOL}`)
      },
      opened: () => this.#opened(peer!),
      received: (frames) => {
        if (this.#state === 'open') this.#events.received(frames)
      },
      failed: (error) =>
        this.#lose(
          peer ? `the connection to ${this.#endpoint} carries no messages: ${error}` : (error as Error).message,
        ),
    })
    this.#socket = socket
    this.#stream = stream
    socket.on('connect', () => stream.greet(formatIdentity(this.#self)))
    let refused = false
    socket.on('error', (error: NodeJS.ErrnoException) => {
      refused = error.code === 'ECONNREFUSED'
    })
    socket.on('close', () => {
      if (refused && this.#state === 'connecting') setTimeout(() => this.#retry(), RETRY_INTERVAL)
      else {
        stream.drain()
        this.#lose(`the connection to ${this.#endpoint} broke`)
      }
    })
    this.wake()
  }

  #retry(): void {
    if (this.#state === 'connecting') this.#connect()
  }

  #opened(peer: PeerIdentity): void {
    if (this.#state !== 'connecting') return
    clearTimeout(this.#deadline)
    this.#state = 'open'
    this.#events.opened(peer)
    for (const parcel of this.#early.splice(0)) this.#stream!.post(parcel)
  }

  #lose(reason: string): void {
    if (this.#state === 'closed') return
    this.close()
    this.#events.lost(new LinkLostError(reason))
  }
}

/** Where other processes of this host reach this one. Each of their connections becomes a link. */
export class LocalListener {
  readonly #self: PeerIdentity
  readonly #accept: (peer: PeerIdentity, link: Link) => LinkEvents
  readonly #links = new Set<AcceptedLink>()
  readonly #server: Server

  /** @param accept called for each new connection; returns who is told of what happens on it */
  constructor(self: PeerIdentity, accept: (peer: PeerIdentity, link: Link) => LinkEvents) {
    this.#self = self
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
    const link = new AcceptedLink(socket, this.#self, this.#accept, () => this.#links.delete(link))
    this.#links.add(link)
  }
}

/** A connection that another process of this host opened. */
class AcceptedLink implements Link {
  /** Who is told of what happens; unknown until the other end has said who it is. */
  #events: LinkEvents | undefined
  readonly #stream: LocalStream
  #closed = false

  constructor(
    socket: Socket,
    self: PeerIdentity,
    accept: (peer: PeerIdentity, link: Link) => LinkEvents,
    private readonly forget: () => void,
  ) {
    let peer: PeerIdentity | undefined
    const events = {
      greeted: (greeting: Uint8Array) => {
        peer = parseIdentity(greeting)
        if (!peer) throw new TypeError('what connected is no Troupe process')
      },
      opened: () => {
        this.#events = accept(peer!, this)
      },
      received: (frames: Uint8Array[]) => this.#events!.received(frames),
      failed: (error: unknown) => {
        debug('a connection was dropped: %s', error)
        socket.destroy()
      },
    }
    this.#stream = new LocalStream(socket, events, formatIdentity(self))
    socket.on('error', (error) => debug('a connection failed: %s', error))
    socket.on('close', () => {
      this.#stream.drain()
      this.end('its connection ended')
    })
  }

  post(parcel: Parcel): void {
    if (!this.#closed) this.#stream.post(parcel)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.forget()
    this.#stream.close()
  }

  end(reason: string): void {
    if (this.#closed) return
    this.close()
    this.#events?.lost(new LinkLostError(reason))
  }
}
