import { randomBytes } from 'node:crypto'
import { control } from './control.js'
import { DealerLink } from './dealer-link.js'
import { type Link, type LinkEvents, LinkLostError, type PeerIdentity } from './link.js'
import { LocalLink, LocalListener } from './local-link.js'
import { Peer, type PeerHandler } from './peer.js'
import { Listener } from './router.js'

/** Where a process is reached: within its node by `ipc`, from other nodes by `tcp`. */
export interface ProcessAddress extends PeerIdentity {
  readonly ipc: string
  readonly tcp?: string | undefined
}

/** What every process serves to those it connected to. */
export interface Receipts {
  /** Says that all messages before this one have come in. */
  receipt(): void
}

/** Milliseconds that a process which is about to end waits for receipts. */
const RECEIPT_TIMEOUT = 1000

export function randomId(): string {
  return randomBytes(8).toString('hex')
}

/** The abstract socket of a process: it leaves no file behind. */
export function ipcEndpoint(processId: string): string {
  return `ipc://@troupe-${processId}`
}

/** All connections of a process: those it accepts, and at most one that it opened to each other process. */
export class Switchboard {
  readonly #links = new Map<string, { peer: Peer; link: DealerLink | LocalLink }>()
  readonly #mayRest: boolean
  readonly #accepted = new Set<Peer>()
  readonly #listeners: { close(): void }[] = []
  #awaited = 0

  /** @param mayRest whether this process may end while connections are open on which nothing is awaited */
  constructor(
    readonly self: PeerIdentity,
    mayRest = false,
  ) {
    this.#mayRest = mayRest
  }

  /**
   * Listens at endpoints, and returns them with the ports that were chosen.
   *
   * @param accept returns who serves a connection that another process opened
   */
  async listen(endpoints: string[], accept: (peer: Peer) => PeerHandler): Promise<string[]> {
    const connected = (identity: PeerIdentity, link: Link): LinkEvents => {
      const handlers: { current?: PeerHandler } = {}
      const peer: Peer = new Peer(this.self, identity, {
        call: (call) => handlers.current?.call(call),
        prepare: (target, method) => handlers.current?.prepare?.(target, method),
        lost: (error) => {
          this.#accepted.delete(peer)
          handlers.current?.lost?.(error)
        },
      })
      peer.link = link
      this.#accepted.add(peer)
      handlers.current = accept(peer)
      return peer
    }
    return Promise.all(endpoints.map((endpoint) => this.#bind(endpoint, connected)))
  }

  /** Processes of one host talk over sockets of the kernel, which wake each other fastest; ZeroMQ joins hosts. */
  async #bind(endpoint: string, connected: (identity: PeerIdentity, link: Link) => LinkEvents): Promise<string> {
    if (isLocal(endpoint)) {
      const listener = new LocalListener(this.self, connected)
      this.#listeners.push(listener)
      await listener.bind(endpoint)
      return endpoint
    }
    const listener = new Listener(this.self, connected)
    this.#listeners.push(listener)
    const bound = await listener.bind(endpoint)
    listener.start()
    return bound
  }

  /** The connection to a process, opened if there is none that works. */
  reach(address: ProcessAddress, handler: PeerHandler): Peer {
    const known = this.#links.get(address.processId)
    if (known) return known.peer
    const endpoint = address.nodeId === this.self.nodeId ? address.ipc : address.tcp
    return this.open(endpoint, address, handler)
  }

  /**
   * Opens a connection to an endpoint.
   *
   * @param identity who is expected there
   * @param timeout milliseconds the other end has to answer
   */
  open(endpoint: string | undefined, identity: PeerIdentity, handler: PeerHandler, timeout?: number): Peer {
    const peer: Peer = new Peer(
      this.self,
      identity,
      {
        ...handler,
        lost: (error) => {
          if (this.#links.get(identity.processId)?.peer === peer) this.#links.delete(identity.processId)
          handler.lost?.(error)
        },
      },
      () => this.#wake(),
    )
    if (!endpoint) {
      peer.link = { post() {}, close() {} }
      peer.lost(new LinkLostError(`process ${identity.processId} of another node has no TCP address`))
      return peer
    }
    const mayRest = this.#mayRest ? () => this.#isIdle() : undefined
    const NewLink = isLocal(endpoint) ? LocalLink : DealerLink
    const link = new NewLink(endpoint, this.self, peer, { timeout, mayRest, mayBeAsked: handler.mayBeAsked })
    peer.link = link
    this.#links.set(identity.processId, { peer, link })
    return peer
  }

  /** The connection that a process opened to this one, if there is one. */
  accepted(processId: string): Peer | undefined {
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
    this.#wake()
    return () => {
      this.#awaited -= 1
    }
  }

  /**
   * Resolves when the processes that connected to this one have taken in all that was sent to them, or have ended.
   * Closing with a linger does not ensure that: a process that exits takes libzmq's threads with it.
   */
  async delivered(): Promise<void> {
    const receipts = [...this.#accepted].map((peer) =>
      control<Receipts>(peer)
        .receipt()
        .catch(() => {}),
    )
    let timer: NodeJS.Timeout | undefined
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, RECEIPT_TIMEOUT)
    })
    await Promise.race([Promise.all(receipts), timeout])
    clearTimeout(timer)
  }

  /** Closes all connections; what has not left is dropped. */
  close(): void {
    for (const { peer } of this.#links.values()) {
      if (!peer.isLost) peer.disconnect(new LinkLostError('this process closed its connections'))
    }
    this.#links.clear()
    for (const listener of this.#listeners) listener.close()
  }

  #isIdle(): boolean {
    if (this.#awaited > 0) return false
    for (const { peer } of this.#links.values()) if (!peer.isIdle) return false
    return true
  }

  #wake(): void {
    for (const { link } of this.#links.values()) link.wake()
  }
}

function isLocal(endpoint: string): boolean {
  return endpoint.startsWith('ipc:')
}
