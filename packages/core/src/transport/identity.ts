import type { PeerIdentity } from './link.js'
import type { Secret } from './secret.js'
import { PROTOCOL } from './wire.js'

/** The end of a connection that speaks. */
export type End = 'connecting' | 'listening'

/**
 * The greeting of one end of a connection: who it is, and proof that it knows the cluster's secret.
 *
 * @param endpoint the endpoint of the listening end
 * @param connection tells several connections of a process apart
 */
export function introduce(self: PeerIdentity, secret: Secret, end: End, endpoint: string, connection = 0): string {
  const words = [PROTOCOL, self.processId, self.nodeId, connection].join(' ')
  return `${words} ${secret.sign(statement(words, end, endpoint))}`
}

/**
 * Checks the greeting of the other end, and tells who that is.
 *
 * @throws TypeError saying why it is not believed
 */
export function recognize(bytes: Uint8Array | undefined, secret: Secret, end: End, endpoint: string): PeerIdentity {
  const said = Buffer.from(bytes ?? []).toString('latin1')
  const [, words, protocol, processId, nodeId, signature] = /^((\S+) (\S+) (\S+) \d+) (\S+)$/.exec(said) ?? []
  if (!words || !processId || !nodeId || protocol !== PROTOCOL) {
    throw new TypeError(`it is no Troupe process that speaks ${PROTOCOL}`)
  }
  if (!signature || !secret.verifies(statement(words, end, endpoint), signature)) {
    throw new TypeError('it does not know the secret of this cluster')
  }
  return { processId, nodeId }
}

/**
 * The text that is signed. Signed for one endpoint it proves nothing at another: who takes over the name of a socket, as any
 * user of the host can, learns nothing that opens a door elsewhere. Other hosts may know an endpoint of TCP by another
 * address.
 */
function statement(words: string, end: End, endpoint: string): string {
  return `${end} ${endpoint.startsWith('tcp:') ? 'tcp' : endpoint} ${words}`
}
