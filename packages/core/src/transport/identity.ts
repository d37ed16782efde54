import type { PeerIdentity } from './link.js'
import type { Secret } from './secret.js'
import { PROTOCOL } from './wire.js'

/** Which end of a connection speaks. */
export type End = 'connecting' | 'listening'

/**
 * What the two ends of a connection tell each other first: who they are, and that they know the cluster's secret.
 *
 * @param endpoint where the connection is made
 * @param connection tells several connections of a process apart
 */
export function introduce(self: PeerIdentity, secret: Secret, end: End, endpoint: string, connection = 0): string {
  const words = [PROTOCOL, self.processId, self.nodeId, connection].join(' ')
  return `${words} ${secret.sign(statement(words, end, endpoint))}`
}

/**
 * Who has introduced itself at the other end.
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
 * What is signed at one endpoint proves nothing at another: who takes over the name of a socket, as any user of the host can,
 * learns nothing that opens a door elsewhere. Other hosts may know an endpoint of TCP by another address.
 */
function statement(words: string, end: End, endpoint: string): string {
  return `${end} ${endpoint.startsWith('tcp:') ? 'tcp' : endpoint} ${words}`
}
