import { AsyncResource } from 'node:async_hooks'
import { randomBytes } from 'node:crypto'
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import { control } from './control.js'
import type { PeerHandler } from './handlers.js'
import { KeepAliveGroup, type KeepsAlive } from './keep-alive-group.js'
import { type Link, type LinkEvents, LinkLostError, type LinkOptions, type PeerIdentity } from './link.js'
import { LocalLink, LocalListener } from './local-link.js'
import { isWithin, LoopbackLink, listenWithin } from './loopback-link.js'
import { type Listening, network, type UnrefLink } from './network.js'
import { Peer } from './peer.js'
import type { Secret } from './secret.js'

/** The address of a process: within its node `ipc`, from other nodes `tcp`. */
export interface ProcessAddress extends PeerIdentity {
  readonly ipc: string
  readonly tcp?: string | undefined
}

/** Requests that every process serves to those it connected to. */
export interface Receipts {
  /** Says that all messages before this one have come in. */
  receipt(): void
}

/** Milliseconds that a process which is about to end waits for receipts of what may get lost when it ends. */
const RECEIPT_TIMEOUT = 30_000
/** Milliseconds between two looks whether all has left. */
const LOOK_INTERVAL = 5

export function randomId(): string {
  return randomBytes(8).toString('hex')
}

/** The abstract socket of a process: it leaves no file behind. */
export function ipcEndpoint(processId: string): string {
  return `ipc://@troupe-${processId}`
}

/** All connections of a process: those it accepts, and at most one that it opened to each other process. */
export class ConnectionManager implements KeepsAlive {
  readonly #links = new Map<string, { peer: Peer; link: UnrefLink }>()
  readonly #mayUnref: boolean
  readonly #accepted = new Set<Peer>()
  readonly #listeners: Listening[] = []
  readonly #keepAliveGroup: KeepAliveGroup
  /** The context that this was made in, in which all that comes in is handled. */
  readonly #context = new AsyncResource('TROUPE')
  #awaited = 0

  /**
   * @param secret the secret by which the processes of the cluster know each other
   * @param mayUnref whether this process may end while connections are open on which nothing is awaited
   * @param host the connections that this process has already
   */
  constructor(
    readonly self: PeerIdentity,
    readonly secret: Secret,
    mayUnref = false,
    host?: ConnectionManager,
  ) {
    this.#mayUnref = host ? host.#mayUnref : mayUnref
    this.#keepAliveGroup = host ? host.#keepAliveGroup : new KeepAliveGroup()
    this.#keepAliveGroup.add(this)
  }

  /**
   * Listens at endpoints, and returns them with the ports that were chosen.
   *
   * @param accept returns who serves a connection that another process opened
   */
  async listen(endpoints: string[], accept: (peer: Peer) => PeerHandler): Promise<string[]> {
    const connected = (identity: PeerIdentity, link: Link): LinkEvents => {
      const peer = new Peer(this.self, identity)
      peer.link = link
      this.#accepted.add(peer)
      const handler = accept(peer)
      peer.handler = {
        ...handler,
        lost: (error) => {
          this.#accepted.delete(peer)
          handler.lost?.(error)
        },
      }
      return peer
    }
    return Promise.all(endpoints.map((endpoint) => this.#bind(endpoint, connected)))
  }

  /** Processes of one host talk over sockets of the kernel, which wake each other fastest; ZeroMQ joins hosts. */
  async #bind(endpoint: string, connected: (identity: PeerIdentity, link: Link) => LinkEvents): Promise<string> {
    if (isLocal(endpoint)) {
      const listener = new LocalListener(this.self, this.secret, connected, this.#mayUnref)
      const stop = listenWithin(endpoint, this.self, this.#context, connected)
      const close = () => {
        stop()
        listener.close()
      }
      this.#listeners.push({ close, ref() {} })
      await listener.bind(endpoint)
      return endpoint
    }
    const { endpoint: bound, ...listening } = await network().listen(
      endpoint,
      this.self,
      this.secret,
      connected,
      this.#mayUnrefGroup(),
    )
    this.#listeners.push(listening)
    return bound
  }

  /** The connection to a process, opened if there is none that works. */
  reach(address: ProcessAddress, handler: PeerHandler): Peer {
    const known = this.#links.get(address.processId)
    if (known) return known.peer
    const endpoint = address.nodeId === this.self.nodeId ? address.ipc : address.tcp
    return this.open(endpoint, address, handler, { hasListened: true })
  }

  /**
   * Opens a connection to an endpoint.
   *
   * @param identity the process that is expected there
   * @param options `timeout`: milliseconds the other end has to answer; `hasListened`: whether it is known to have listened
   */
  open(
    endpoint: string | undefined,
    identity: PeerIdentity,
    handler: PeerHandler,
    options: Pick<LinkOptions, 'timeout' | 'hasListened'> = {},
  ): Peer {
    const peer = new Peer(this.self, identity, this.#keepAliveGroup)
    peer.handler = {
      ...handler,
      lost: (error) => {
        if (this.#links.get(identity.processId)?.peer === peer) this.#links.delete(identity.processId)
        handler.lost?.(error)
      },
    }
    if (!endpoint) {
      peer.link = { post() {}, close() {} }
      peer.lost(new LinkLostError(`process ${identity.processId} of another node has no TCP address`))
      return peer
    }
    const all = { ...options, mayUnref: this.#mayUnrefGroup(), mayBeAsked: handler.mayBeAsked }
    const link = this.#context.runInAsyncScope((): UnrefLink => {
      if (isWithin(endpoint)) return LoopbackLink.open(endpoint, this.self, peer, this.#context)
      if (isLocal(endpoint)) return new LocalLink(endpoint, this.self, this.secret, peer, all)
      return network().connect(endpoint, this.self, this.secret, identity, peer, all)
    })
    peer.link = link
    this.#links.set(identity.processId, { peer, link })
    return peer
  }

  /** The connections that others opened to this process. */
  get accepted(): Peer[] {
    return [...this.#accepted]
  }

  /** The connection that a process opened to this one, if there is one. */
  acceptedFrom(processId: string): Peer | undefined {
    for (const peer of this.#accepted) if (peer.identity.processId === processId && !peer.isLost) return peer
    return undefined
  }

  /** Keeps receiving until a promise has settled that the other ends do not know of. */
  async awaiting<T>(promise: Promise<T>): Promise<T> {
    const letGo = this.hold()
    try {
      return await promise
    } finally {
      letGo()
    }
  }

  /** Keeps receiving until the returned function is called, once. */
  hold(): () => void {
    this.#awaited += 1
    this.keepAlive()
    return () => {
      this.#awaited -= 1
    }
  }

  /**
   * Resolves when all that was sent to the processes which connected to this one will reach them although this one ends: what
   * has left for a process of this host is in the kernel's hands or in memory that it has mapped; others have to say that they
   * have taken it in. Closing with a linger does not ensure that: a process that exits takes libzmq's threads with it.
   */
  async delivered(): Promise<void> {
    const end = performance.now() + RECEIPT_TIMEOUT
    const waiting = new Set<Peer>(this.#accepted)
    for (const peer of waiting) {
      const taken = () => waiting.delete(peer)
      control<Receipts>(peer).receipt().then(taken, taken)
    }
    await nextTurn()
    for (;;) {
      for (const peer of waiting) if (peer.mayEnd) waiting.delete(peer)
      if (waiting.size === 0 || performance.now() > end) return
      await delay(LOOK_INTERVAL)
    }
  }

  /** Closes all connections; what has not left is dropped. */
  close(): void {
    for (const { peer } of this.#links.values()) {
      if (!peer.isLost) peer.disconnect(new LinkLostError('this process closed its connections'))
    }
    this.#links.clear()
    for (const listener of this.#listeners) listener.close()
    // Those from within this thread are no listener's.
    for (const peer of this.#accepted) {
      if (!peer.isLost) peer.disconnect(new LinkLostError('this process stopped listening'))
    }
    this.#keepAliveGroup.delete(this)
  }

  #mayUnrefGroup(): (() => boolean) | undefined {
    return this.#mayUnref ? () => this.#keepAliveGroup.mayUnref() : undefined
  }

  get isIdle(): boolean {
    if (this.#awaited > 0) return false
    for (const { peer } of this.#links.values()) if (!peer.isIdle) return false
    return true
  }

  ref(): void {
    for (const { link } of this.#links.values()) link.ref()
    for (const listener of this.#listeners) listener.ref()
  }

  /** Has the connections keep the process alive until they have looked anew whether they need to. */
  keepAlive(): void {
    this.#keepAliveGroup.ref()
  }
}

function isLocal(endpoint: string): boolean {
  return endpoint.startsWith('ipc:')
}
