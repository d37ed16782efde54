import { connect, createServer, type Server, type Socket } from 'node:net'
import { debuglog } from 'node:util'
import { introduce, recognize } from './identity.js'
import { type Link, type LinkEvents, LinkLostError, type LinkOptions, type PeerIdentity } from './link.js'
import { LocalStream } from './local-stream.js'
import { OpenedLink } from './opened-link.js'
import type { Secret } from './secret.js'
import type { Packet } from './wire.js'

const debug = debuglog('troupe')

/** Milliseconds between attempts to connect to a process that does not listen yet. */
const RETRY_INTERVAL = 5
/** A link on which nothing is awaited finds out within these milliseconds, and then no longer keeps the process alive. */
const UNREF_INTERVAL = 250
/** Milliseconds that a process which connects has to say who it is: so many that none is dropped for being short of CPU. */
const IDENTITY_TIMEOUT = 600_000

/** The abstract socket, which leaves no file behind, of an endpoint `ipc://@NAME`. */
function pathOf(endpoint: string): string {
  return endpoint.replace('ipc://@', '\0')
}

/** A connection that this process opened to another one of its host. */
export class LocalLink extends OpenedLink {
  readonly #introduction: string
  readonly #mayUnref: (() => boolean) | undefined
  readonly #hasListened: boolean
  #unrefTimer: NodeJS.Timeout | undefined
  #socket: Socket | undefined
  #stream: LocalStream | undefined

  constructor(endpoint: string, self: PeerIdentity, secret: Secret, events: LinkEvents, options: LinkOptions) {
    super(endpoint, secret, events, options)
    this.#introduction = introduce(self, secret, 'connecting', endpoint)
    this.#mayUnref = options.mayUnref
    this.#hasListened = options.hasListened ?? false
    this.#connect()
  }

  /** Keeps the process alive, until nothing is awaited any more. */
  ref(): void {
    if (this.#unrefTimer || !this.#mayUnref || this.state === 'closed') return
    this.#socket?.ref()
    this.#unrefTimer = setInterval(() => {
      if (this.state === 'connecting' || !this.#mayUnref?.()) return
      this.#socket?.unref()
      clearInterval(this.#unrefTimer)
      this.#unrefTimer = undefined
    }, UNREF_INTERVAL)
    this.#unrefTimer.unref()
  }

  protected shut(): void {
    clearInterval(this.#unrefTimer)
    this.#stream?.close()
  }

  #connect(): void {
    const socket = connect({ path: pathOf(this.endpoint) })
    let peer: PeerIdentity | undefined
    const stream = new LocalStream(socket, {
      greeted: (greeting) => {
        peer = this.recognized(greeting)
        if (!peer) throw new TypeError('it is not trusted')
      },
      opened: (post) => this.opened(peer!, post),
      failed: (error) => this.lose(`the connection to ${this.endpoint} carries no messages: ${error}`),
    })
    this.#socket = socket
    this.#stream = stream
    socket.on('connect', () => {
      this.reached()
      stream.greet(this.#introduction)
    })
    let mayListen = false
    let failure: NodeJS.ErrnoException | undefined
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // A process that is short of CPU may have as many connections to accept as the system lets it.
      mayListen = error.code === 'EAGAIN' || (error.code === 'ECONNREFUSED' && !this.#hasListened)
      failure = error
    })
    socket.on('close', () => {
      if (mayListen && this.state === 'connecting') {
        setTimeout(() => this.#retry(), RETRY_INTERVAL)
        return
      }
      stream.drain()
      if (this.state === 'connecting') this.lose(this.#whyClosed(failure))
      else this.lose(`the connection to ${this.endpoint} broke`)
    })
    this.ref()
  }

  #whyClosed(failure: NodeJS.ErrnoException | undefined): string {
    if (failure?.code === 'EMFILE' || failure?.code === 'ENFILE') {
      return `no connection to ${this.endpoint} can be opened: this process (${process.pid}) has all the files open that it may have; raise its limit (ulimit -n)`
    }
    if (failure?.code === 'ECONNREFUSED') return `nothing listens at ${this.endpoint} any more`
    if (failure) return `no connection to ${this.endpoint} can be opened: ${failure.message}`
    return `what listens at ${this.endpoint} closed the connection before it answered: it has ended, or has all the files open that it may have (ulimit -n)`
  }

  #retry(): void {
    if (this.state === 'connecting') this.#connect()
  }
}

/** Listens for other processes of this host. Each of their connections becomes a link. */
export class LocalListener {
  readonly #self: PeerIdentity
  readonly #secret: Secret
  #endpoint = ''
  readonly #accept: (peer: PeerIdentity, link: Link) => LinkEvents
  readonly #links = new Set<AcceptedLink>()
  readonly #server: Server
  readonly #mayUnref: boolean

  /**
   * @param accept called for each new connection; returns who is told of what happens on it
   * @param mayUnref whether connections that others opened need not keep the process alive
   */
  constructor(
    self: PeerIdentity,
    secret: Secret,
    accept: (peer: PeerIdentity, link: Link) => LinkEvents,
    mayUnref: boolean,
  ) {
    this.#self = self
    this.#secret = secret
    this.#mayUnref = mayUnref
    this.#accept = accept
    this.#server = createServer((socket) => this.#connected(socket))
    // As when this process has too many files open: who connected learns of it.
    this.#server.on('error', (error) => debug('a connection was not accepted: %s', error))
    if (mayUnref) this.#server.unref()
  }

  async bind(endpoint: string): Promise<void> {
    this.#endpoint = endpoint
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject).listen({ path: pathOf(endpoint) }, resolve)
    })
  }

  close(): void {
    this.#server.close()
    for (const link of this.#links) link.end('this process stopped listening')
  }

  #connected(socket: Socket): void {
    if (this.#mayUnref) socket.unref()
    socket.setTimeout(IDENTITY_TIMEOUT, () => socket.destroy())
    let peer: PeerIdentity | undefined
    const stream = new LocalStream(
      socket,
      {
        greeted: (greeting) => {
          peer = recognize(greeting, this.#secret, 'connecting', this.#endpoint)
          socket.setTimeout(0)
        },
        opened: (post) => {
          link.post = post
          link.events = this.#accept(peer!, link)
          return link.events
        },
        failed: (error) => {
          debug('a connection was dropped: %s', error)
          socket.destroy()
        },
      },
      introduce(this.#self, this.#secret, 'listening', this.#endpoint),
    )
    const link: AcceptedLink = new AcceptedLink(stream, () => this.#links.delete(link))
    this.#links.add(link)
    socket.on('error', (error) => debug('a connection failed: %s', error))
    socket.on('close', () => {
      stream.drain()
      link.end('its connection ended')
    })
  }
}

/** A connection that another process of this host opened. */
class AcceptedLink implements Link {
  /** Handlers of what happens; unknown until the other end has said who it is. */
  events: LinkEvents | undefined
  post: (packet: Packet) => void = () => {}
  #closed = false

  constructor(
    private readonly stream: LocalStream,
    private readonly forget: () => void,
  ) {}

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.forget()
    this.stream.close()
  }

  get hasLeft(): boolean {
    return this.stream.hasLeft
  }

  end(reason: string): void {
    if (this.#closed) return
    this.close()
    this.events?.lost(new LinkLostError(reason))
  }
}
