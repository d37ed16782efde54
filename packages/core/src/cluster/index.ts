import { randomId } from '../transport/switchboard.js'
import { listenAddress, parseAddress } from './address.js'
import { Head } from './head.js'
import { JoinedNode, type NodeOptions } from './node.js'
import { checkResources } from './resources.js'
import { HEAD_TITLE, NODE_TITLE } from './title.js'

export type { Head, JoinedNode, NodeOptions }

/**
 * Makes this process the head of a cluster that other hosts can join.
 *
 * @param listen where to listen; port 0 takes any free one
 * @param options what its node has
 * @throws PortInUseError if something else listens there
 * @throws InvalidInputError if the host is none of this machine's
 */
export async function startHead(listen: { host: string; port: number }, options: NodeOptions = {}): Promise<Head> {
  checkResources(options.resources ?? {})
  process.title = HEAD_TITLE
  const ids = { clusterId: randomId(), nodeId: randomId(), processId: randomId() }
  return Head.start({ ...ids, listen: { host: await listenAddress(listen.host), port: listen.port }, ...options })
}

/**
 * Makes this process a node of a cluster.
 *
 * @param address `HOST:PORT` of the head
 * @param host the address of this machine that other hosts reach it at
 * @param options what the node has
 * @throws InvalidInputError if the address is malformed or the host has none
 * @throws NodeUnreachableError if no head answers
 */
export async function joinHead(address: string, host: string, options: NodeOptions = {}): Promise<JoinedNode> {
  process.title = NODE_TITLE
  return JoinedNode.join(parseAddress(address), await listenAddress(host), options)
}
