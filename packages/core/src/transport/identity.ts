import type { PeerIdentity } from './link.js'
import { PROTOCOL } from './wire.js'

/** What a process calls itself when it connects, and what it is greeted with. */
export function formatIdentity(identity: PeerIdentity, connection?: number): string {
  return [PROTOCOL, identity.processId, identity.nodeId, ...(connection === undefined ? [] : [connection])].join(' ')
}

/** Undefined when the bytes come from something that is no Troupe process of this version. */
export function parseIdentity(bytes: Uint8Array): PeerIdentity | undefined {
  const [protocol, processId, nodeId] = Buffer.from(bytes).toString('latin1').split(' ')
  return protocol === PROTOCOL && processId && nodeId ? { processId, nodeId } : undefined
}
