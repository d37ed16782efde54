import type { Dimensions } from '../protocol/actor.js'

/** A node as placement sees it. */
export interface Place {
  readonly id: string
  readonly actors: number
}

/**
 * Nodes for the members of a mesh, by rank: contiguous, even blocks. The members along the fastest dimension that has
 * more than one stay on one node, unless there are fewer such rows than nodes.
 */
export function placeMesh<T extends Place>(nodes: readonly T[], dimensions: Dimensions): T[] {
  const sizes = Object.values(dimensions)
  const size = sizes.reduce((product, extent) => product * extent, 1)
  const fastest = sizes.findLast((extent) => extent > 1) ?? 1
  const rows = size / fastest
  const [blocks, blockSize] = rows >= nodes.length ? [rows, fastest] : [size, 1]
  return Array.from({ length: size }, (_, rank) => {
    const block = Math.floor(rank / blockSize)
    return nodes[Math.floor((block * nodes.length) / blocks)]!
  })
}
