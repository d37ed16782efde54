import { DealerLink } from './dealer-link.js'
import type { Link, LinkEvents, LinkOptions, PeerIdentity } from './link.js'
import { Listener } from './router.js'
import type { Secret } from './secret.js'

/** A link that this process opened, and that may rest while nothing is awaited. */
export interface WakefulLink extends Link {
  wake(): void
}

export interface Listening {
  wake(): void
  close(): void
}

/** How processes of other hosts are reached. */
export interface Network {
  /** @param expected who is expected at the endpoint */
  connect(
    endpoint: string,
    self: PeerIdentity,
    secret: Secret,
    expected: PeerIdentity,
    events: LinkEvents,
    options: LinkOptions,
  ): WakefulLink
  /** Listens at an endpoint, whose port may be `*`. */
  listen(
    endpoint: string,
    self: PeerIdentity,
    secret: Secret,
    accept: (peer: PeerIdentity, link: Link) => LinkEvents,
    mayRest: (() => boolean) | undefined,
  ): Promise<Listening & { readonly endpoint: string }>
}

const zeroMq: Network = {
  connect: (endpoint, self, secret, _, events, options) => new DealerLink(endpoint, self, secret, events, options),
  async listen(endpoint, self, secret, accept, mayRest) {
    const listener = new Listener(self, secret, accept, mayRest)
    try {
      const bound = await listener.bind(endpoint)
      listener.start()
      return { endpoint: bound, close: () => listener.close(), wake: () => listener.wake() }
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
