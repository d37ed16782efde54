import { randomId } from './connection-manager.js'
import { LinkLostError, LinkRefusedError } from './link.js'
import type { Secret } from './secret.js'
import { watchfulDealer } from './sockets.js'

/** Milliseconds that a listener has to answer: libzmq itself tries for ever. */
const TIMEOUT = 5000
/** Times that a listener must cut this process off: once, it may be that it has just ended. */
const REFUSALS = 3

/**
 * Finds out whether a listener of another host accepts a secret. A link would not tell: libzmq tries to shake hands for ever.
 *
 * @throws LinkRefusedError if the listener cuts this process off; LinkLostError if nothing answers
 */
export async function probeListener(endpoint: string, secret: Secret): Promise<void> {
  const socket = watchfulDealer(`probe ${randomId()}`, secret)
  const { events } = socket
  let outcome: 'none' | 'accepted' | 'refused' = 'none'
  let refusals = 0
  // After a look at what has come in, for a process whose own thread was busy all the while.
  const timer = setTimeout(() => setImmediate(() => socket.close()), TIMEOUT)
  socket.connect(endpoint)
  // They end once the socket is closed for good. To stop reading before would block libzmq's threads.
  for await (const { type } of events) {
    if (outcome !== 'none') continue
    if (type === 'handshake:error:other') refusals += 1
    // A listener that does not speak CURVE at all is not tried again.
    if (type === 'handshake:error:protocol' || refusals === REFUSALS) outcome = 'refused'
    else if (type === 'handshake') outcome = 'accepted'
    if (outcome !== 'none') socket.close()
  }
  clearTimeout(timer)
  if (outcome === 'none') throw new LinkLostError(`nothing answers at ${endpoint} within ${TIMEOUT / 1000} s`)
  if (outcome === 'refused') throw new LinkRefusedError(`what listens at ${endpoint} does not accept this secret`)
}
