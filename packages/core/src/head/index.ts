import type { JoinedNode, NodeOptions } from '../node/node.js'
import { listenAddress, parseAddress } from '../protocol/address.js'
import { checkResources } from '../protocol/resources.js'
import { programName } from '../protocol/running-clusters.js'
import { HEAD_TITLE, NODE_TITLE } from '../protocol/title.js'
import { headSecret } from '../protocol/token.js'
import { randomId } from '../transport/connection-manager.js'
import type { Head } from './head.js'

export { memoryOfHost } from '../common/host-memory.js'
export { type RunningCluster, runningClusters } from '../protocol/running-clusters.js'
export { tokenFile } from '../protocol/token.js'
export type { Head, JoinedNode, NodeOptions }

/**
 * Makes this process the head of a cluster that other hosts can join. Where neither the options nor TROUPE_TOKEN nor the
 * file ~/.troupe/token has a token, it makes one up and keeps it in the file.
 *
 * @param listen the address to listen at; port 0 takes any free one
 * @param options the resources of its node, and the cluster's token
 * @throws PortInUseError if something else listens there
 * @throws InvalidInputError if the host is none of this machine's, the token is too short or others can read its file
 */
export async function startHead(
  listen: { host: string; port: number },
  { token, ...node }: NodeOptions = {},
): Promise<Head> {
  checkResources(node.resources ?? {})
  const secret = headSecret(token).text
  process.title = HEAD_TITLE
  const ids = { clusterId: randomId(), nodeId: randomId(), processId: randomId() }
  const program = { name: programName(), pid: process.pid }
  const { host, port } = listen
  // Most who import this only ask which clusters run.
  const { Head } = await import('./head.js')
  return Head.start({ ...ids, secret, program, listen: { host: await listenAddress(host), port }, ...node })
}

/**
 * Makes this process a node of a cluster.
 *
 * @param address `HOST:PORT` of the head
 * @param host the address of this machine that other hosts reach it at
 * @param options the resources of the node, and the cluster's token
 * @throws InvalidInputError if the address is malformed, the host has none, or there is no token
 * @throws NodeUnreachableError if no head answers; AccessDeniedError if it has another token
 */
export async function joinHead(address: string, host: string, options: NodeOptions = {}): Promise<JoinedNode> {
  process.title = NODE_TITLE
  const { JoinedNode } = await import('../node/node.js')
  return JoinedNode.join(parseAddress(address), await listenAddress(host), options)
}
