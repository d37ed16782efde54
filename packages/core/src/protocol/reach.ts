import { AccessDeniedError, NodeUnreachableError } from '../common/errors.js'
import { LinkRefusedError } from '../transport/link.js'
import { probeListener } from '../transport/probe.js'
import type { Secret } from '../transport/secret.js'
import { TOKEN_VARIABLE } from './token.js'

/**
 * The endpoint of a head that accepts a secret.
 *
 * @throws NodeUnreachableError if it does not answer; AccessDeniedError if it does not accept the secret
 */
export async function reachHead({ host, port }: { host: string; port: number }, secret: Secret): Promise<string> {
  const endpoint = `tcp://${host}:${port}`
  try {
    await probeListener(endpoint, secret)
  } catch (error) {
    if (!(error instanceof LinkRefusedError)) throw unreachable({ host, port }, error as Error)
    throw new AccessDeniedError(
      `the head at ${host}:${port} does not accept this token; set ${TOKEN_VARIABLE} to the head's, or copy ~/.troupe/token ` +
        'from its host',
      { cause: error },
    )
  }
  return endpoint
}

/** The error of a driver or a node that no head answers. */
export function unreachable({ host, port }: { host: string; port: number }, cause: Error): NodeUnreachableError {
  return new NodeUnreachableError(
    `no Troupe head answers at ${host}:${port} within 5 s; start one with \`troupe start --head --port ${port}\``,
    { cause },
  )
}
