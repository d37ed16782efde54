import { Packr, Unpackr } from 'msgpackr/pack'
import type { Encoded } from './codec.js'

const packr = new Packr({ useRecords: false })
// The packer uses its memory again.
const unpackr = new Unpackr({ useRecords: false, copyBuffers: true })

/** A deep copy of what an encoded value holds, for a message that leaves later. */
export function snapshot(encoded: Encoded): Encoded {
  const { tree } = encoded
  if (Array.isArray(tree) && !tree.some((item) => typeof item === 'object' && item !== null)) {
    return { ...encoded, tree: [...tree] }
  }
  return { ...encoded, tree: unpackr.unpack(packr.pack(encoded.tree)) }
}

/** The bytes that an encoded value takes in a message. */
export function byteLengthOf({ tree, attachments }: Encoded): number {
  return attachments.reduce((sum, { length }) => sum + length, packr.pack(tree).length)
}

/**
 * The number of bytes that an encoded value takes; exact where it may be `limit` or more, else perhaps too many but below
 * that.
 */
export function packedBytes({ tree, attachments }: Encoded, limit: number): number {
  const beside = attachments.reduce((sum, { length }) => sum + length, 0)
  if (beside >= limit) return beside
  const most = beside + mostBytes(tree, limit)
  return most < limit ? most : beside + packr.pack(tree).length
}

/** An upper bound of the bytes that msgpack needs, counted no further than to a limit. */
function mostBytes(node: unknown, limit: number): number {
  if (typeof node === 'string') return 5 + 3 * node.length
  if (typeof node !== 'object' || node === null) return 9
  if (node instanceof Uint8Array) return 5 + node.length
  let sum = 5
  if (Array.isArray(node))
    for (let index = 0; index < node.length && sum < limit; index++) sum += mostBytes(node[index], limit)
  else {
    for (const [key, value] of Object.entries(node)) {
      if (sum >= limit) break
      sum += 5 + 3 * key.length + mostBytes(value, limit)
    }
  }
  return sum
}
