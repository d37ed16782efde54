/** How fast a device works on weights of a format. */
export interface Rate {
  /** Floating-point operations a second that matrix products reach on many tokens. */
  flops: number
  /** Bytes of such weights a second that products on one token read. */
  bandwidth: number
}

/** A GPU, or one core of a CPU. Rates are what is reached, not what is on the data sheet. */
export interface DeviceSpec {
  /** Bytes for weights, cache and activations. */
  memory: number
  /** Bytes a second that it reads while others of its node are idle. */
  bandwidth: number
  /** By the format of weights: `f16`, `q8_0` and so on. */
  formats: Readonly<Record<string, Rate>>
  /** Of attention: operations on many queries, and bytes of keys and values that one query reads a second. */
  attention: Rate
  /** Seconds that starting an operation of a program costs. */
  operation: number
}

/** The connection of two devices. */
export interface LinkSpec {
  /** Seconds that a message takes beyond what its bytes do. */
  latency: number
  /** Bytes a second from one device to another. */
  bandwidth: number
}

/** Nodes that are alike. */
export interface NodeGroup {
  name: string
  count: number
  /** Devices of each node. */
  devices: number
  device: DeviceSpec
  /** Whether devices are cores of one CPU, of which a worker can have several, with the memory of all of them. */
  cores: boolean
  /** Bytes a second that all devices of a node read together; as many as they read alone, if left out. */
  nodeBandwidth?: number
  /** Between devices of a node. */
  link: LinkSpec
}

/** A cluster as the planner sees it. */
export interface ClusterSpec {
  nodes: readonly NodeGroup[]
  /** Between devices of different nodes; `nodeBandwidth` is what all devices of a node send together. */
  link: LinkSpec & { nodeBandwidth?: number }
  /** Seconds that the host adds to an exchange of a prefill whose operations it starts one by one; 0 for programs. */
  dispatch: number
  /** Seconds between a step's result and the next step that builds on it. */
  step: number
}

/** All devices of a cluster. */
export function countDevices(cluster: ClusterSpec): number {
  return cluster.nodes.reduce((sum, { count, devices }) => sum + count * devices, 0)
}

/** All nodes of a cluster. */
export function countNodes(cluster: ClusterSpec): number {
  return cluster.nodes.reduce((sum, { count }) => sum + count, 0)
}
