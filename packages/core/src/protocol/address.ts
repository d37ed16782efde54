import { lookup } from 'node:dns/promises'
import { isIPv6 } from 'node:net'
import { networkInterfaces } from 'node:os'
import { InvalidInputError } from '../common/errors.js'

/**
 * Reads `HOST:PORT`.
 *
 * @throws InvalidInputError if it is anything else
 */
export function parseAddress(address: string): { host: string; port: number } {
  const [, host, digits] = /^(?:tcp:\/\/)?([^\s:/]+|\[[\da-fA-F:]+\]):(\d{1,5})$/.exec(address) ?? []
  const port = Number(digits)
  if (!host || port < 1 || port > 65535) {
    throw new InvalidInputError(`expected an address as HOST:PORT, found ${JSON.stringify(address)}`)
  }
  if (host.startsWith('[')) throw noIpv6(host)
  return { host, port }
}

function noIpv6(host: string): InvalidInputError {
  return new InvalidInputError(
    `${host} is an IPv6 address, which is not supported; give an IPv4 address, or a name that has one`,
  )
}

/**
 * The IP address to listen at for a host name, since ZeroMQ binds to no names.
 *
 * @throws InvalidInputError if the name has no address
 */
export async function listenAddress(host: string): Promise<string> {
  if (host === '0.0.0.0') return firstAddress()
  if (isIPv6(host.replace(/^\[|\]$/g, ''))) throw noIpv6(host)
  try {
    return (await lookup(host, 4)).address
  } catch (error) {
    throw new InvalidInputError(`the host ${host} has no IPv4 address; give one of this machine`, {
      cause: error,
    })
  }
}

/** An address of this machine that other hosts can use. */
function firstAddress(): string {
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { family, internal, address } of addresses ?? []) if (family === 'IPv4' && !internal) return address
  }
  return '127.0.0.1'
}
