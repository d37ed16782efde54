import { parentPort, workerData } from 'node:worker_threads'
import type { WorkerSettings } from '../protocol/boot.js'
import { ipcEndpoint, randomId } from '../transport/connection-manager.js'
import type { PeerIdentity } from '../transport/link.js'
import { LocalLink } from '../transport/local-link.js'
import type { Network } from '../transport/network.js'

/**
 * A request of a thread to the process it is in. ZeroMQ aborts the process when a thread ends that waits for a message, so
 * only main threads have its sockets, and those of a thread's connections that leave the host go through the main one.
 */
export type HostRequest =
  | { readonly connect: string; readonly via: string; readonly self: PeerIdentity; readonly expected: PeerIdentity }
  | { readonly listen: string; readonly number: number; readonly self: PeerIdentity }
  | { readonly unlisten: number }

/** The answer to a request to listen. */
export interface HostAnswer {
  readonly number: number
  readonly endpoint?: string
  readonly error?: string
}

let requests = 0

function ask(request: HostRequest): void {
  parentPort!.postMessage(request)
}

/** The settings that the process of threads gave this one. */
export function threadSettings(): WorkerSettings {
  return workerData as WorkerSettings
}

/** Other hosts, as a thread reaches them: through the main thread of its process. */
export const networkOfHost: Network = {
  connect(endpoint, self, secret, expected, events, options) {
    const via = ipcEndpoint(randomId())
    ask({ connect: endpoint, via, self, expected })
    return new LocalLink(via, self, secret, events, { ...options, hasListened: false })
  },
  async listen(endpoint, self) {
    const number = ++requests
    ask({ listen: endpoint, number, self })
    const bound = await new Promise<string>((resolve, reject) => {
      const take = (answer: HostAnswer) => {
        if (answer.number !== number) return
        parentPort!.off('message', take)
        if (answer.endpoint === undefined) reject(new Error(answer.error))
        else resolve(answer.endpoint)
      }
      parentPort!.on('message', take)
    })
    return { endpoint: bound, close: () => ask({ unlisten: number }), ref() {} }
  },
}
