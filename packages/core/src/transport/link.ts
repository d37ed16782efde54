import type { Packet } from './wire.js'

/** The process at the other end of a connection. */
export interface PeerIdentity {
  readonly processId: string
  readonly nodeId: string
}

/** The reason why a connection can no longer be used. */
export class LinkLostError extends Error {
  override readonly name: string = 'LinkLostError'
}

/** The other end does not believe that this process belongs to its cluster. */
export class LinkRefusedError extends LinkLostError {
  override readonly name = 'LinkRefusedError'
}

/** A connection with one other process. Packets arrive in the order they were posted, each once, or the link is lost. */
export interface Link {
  /** Sends a packet. A function of its own once the other end has answered, so that nothing lies between it and the stream. */
  readonly post: (packet: Packet) => void
  close(): void
  /** Whether what was posted arrives although this process ends at once, where the link can tell. */
  readonly hasLeft?: boolean
}

/** Events of a link, for its user. */
export interface LinkEvents {
  /** The other end has answered; posting is allowed before. */
  opened(peer: PeerIdentity): void
  received(frames: Uint8Array[]): void
  /** Called at most once; nothing is received afterwards. */
  lost(error: LinkLostError): void
}

/** Options of a link that this process opens. */
export interface LinkOptions {
  /** Milliseconds the other end has to answer. */
  timeout?: number | undefined
  /** Whether nothing is awaited on any connection, so that this link need not keep the process alive; never by default. */
  mayUnref?: (() => boolean) | undefined
  /** Whether the other end may ask for something while nothing is awaited. */
  mayBeAsked?: (() => boolean) | undefined
  /** Whether the other end is known to have listened, so that it has gone if nothing listens there. */
  hasListened?: boolean | undefined
}
