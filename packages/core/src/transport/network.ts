import { DealerLink } from './dealer-link.js'
import type { Link, LinkEvents, LinkOptions, PeerIdentity } from './link.js'
import { RouterListener } from './router.js'
import type { Secret } from './secret.js'

/** A link that this process opened, which keeps the process alive only while something is awaited. */
export interface UnrefLink extends Link {
  ref(): void
}

export interface Listening {
  ref(): void
  close(): void
}

/** Connections to processes of other hosts. */
export interface Network {
  /** @param expected the process that is expected at the endpoint */
  connect(
    endpoint: string,
    self: PeerIdentity,
    secret: Secret,
    expected: PeerIdentity,
    events: LinkEvents,
    options: LinkOptions,
  ): UnrefLink
  /** Listens at an endpoint, whose port may be `*`. */
  listen(
    endpoint: string,
    self: PeerIdentity,
    secret: Secret,
    accept: (peer: PeerIdentity, link: Link) => LinkEvents,
    mayUnref: (() => boolean) | undefined,
  ): Promise<Listening & { readonly endpoint: string }>
}

const zeroMq: Network = {
  connect: (endpoint, self, secret, _, events, options) => new DealerLink(endpoint, self, secret, events, options),
  async listen(endpoint, self, secret, accept, mayUnref) {
    const listener = new RouterListener(self, secret, accept, mayUnref)
    try {
      const bound = await listener.bind(endpoint)
      listener.start()
      return { endpoint: bound, close: () => listener.close(), ref: () => listener.ref() }
    } catch (error) {
      listener.close()
      throw error
    }
  },
}

let used = zeroMq

/** The network of this thread: ZeroMQ, unless another one is used. */
export function network(): Network {
  return used
}

/** Replaces the network of this thread. */
export function useNetwork(other: Network): void {
  used = other
}
