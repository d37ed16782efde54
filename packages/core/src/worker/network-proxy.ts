import { ipcEndpoint } from '../transport/connection-manager.js'
import type { Link, LinkEvents, PeerIdentity } from '../transport/link.js'
import { LocalLink, LocalListener } from '../transport/local-link.js'
import { network } from '../transport/network.js'
import type { Secret } from '../transport/secret.js'
import type { Packet } from '../transport/wire.js'
import type { HostAnswer, HostRequest } from './thread.js'

/** Carries the connections of one thread that leave the host: over ZeroMQ outside, over sockets of the kernel inside. */
export class NetworkProxy {
  readonly #open = new Set<() => void>()
  readonly #listening = new Map<number, () => void>()
  readonly #secret: Secret
  readonly #answer: (answer: HostAnswer) => void

  constructor(secret: Secret, answer: (answer: HostAnswer) => void) {
    this.#secret = secret
    this.#answer = answer
  }

  take(request: HostRequest): void {
    if ('connect' in request) void this.#connect(request.connect, request.via, request.self, request.expected)
    else if ('listen' in request) void this.#listen(request.listen, request.number, request.self)
    else this.#listening.get(request.unlisten)?.()
  }

  /** The thread has ended. */
  close(): void {
    for (const close of this.#open) close()
  }

  async #connect(endpoint: string, via: string, self: PeerIdentity, expected: PeerIdentity): Promise<void> {
    const close = this.#closing(() => listener.close())
    const listener = new LocalListener(
      expected,
      this.#secret,
      (_, inner) => {
        const outer = network().connect(endpoint, self, this.#secret, expected, passingTo(inner, close), {})
        this.#open.add(() => outer.close())
        return passingTo(outer, close)
      },
      false,
    )
    await listener.bind(via)
  }

  async #listen(endpoint: string, number: number, self: PeerIdentity): Promise<void> {
    const accept = (peer: PeerIdentity, outer: Link): LinkEvents => {
      const inner: LocalLink = new LocalLink(ipcEndpoint(self.processId), peer, this.#secret, passingTo(outer), {})
      return passingTo(inner)
    }
    try {
      const listening = await network().listen(endpoint, self, this.#secret, accept, undefined)
      this.#listening.set(
        number,
        this.#closing(() => listening.close()),
      )
      this.#answer({ number, endpoint: listening.endpoint })
    } catch (error) {
      this.#answer({ number, error: String(error) })
    }
  }

  #closing(close: () => void): () => void {
    const once = () => {
      if (this.#open.delete(once)) close()
    }
    this.#open.add(once)
    return once
  }
}

/** Hands what comes in on one link to another, and closes that one when the first is lost. */
function passingTo(link: Link, lost = () => {}): LinkEvents {
  return {
    opened() {},
    received: ([bytes, ...attachments]) => link.post({ bytes: bytes!, attachments } satisfies Packet),
    lost() {
      link.close()
      lost()
    },
  }
}
