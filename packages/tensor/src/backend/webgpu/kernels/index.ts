import type { TracedOperation } from '../../../trace-operands.js'
import { attention, joinAttention } from './attention.js'
import { cacheStore } from './cache.js'
import type { Kernel } from './kernel.js'
import { linear } from './linear.js'
import { add, embedding, gatherRows, resolve, rmsNorm, rotate, scatterRows, siluMultiply } from './rows.js'

/** The kernels of an operation, of which a run takes those that have something to do. */
const KERNELS: Readonly<Record<string, (operation: TracedOperation) => Kernel | Kernel[]>> = {
  ...{
    add,
    attention,
    cacheStore,
    embedding,
    gatherRows,
    joinAttention,
    linear,
    resolve,
    rmsNorm,
    rotate,
    scatterRows,
  },
  partialAttention: attention,
  siluMultiply,
}

/** Operations that the host does: those between ranks, those that take in what sampling needs, and the exact sines of rotary tables. */
const OF_THE_HOST = new Set([
  ...['allReduce', 'allGatherRows', 'allGatherColumns', 'gatherSpans', 'send', 'receive', 'receiveParts'],
  ...['rotaryTable', 'sample', 'sampleAdjusted', 'countTokens', 'logProbs'],
])

/** The inputs of operations of the device whose elements say where they read and write. */
const INDICES: Readonly<Record<string, readonly number[]>> = {
  ...{ cacheStore: [1], gatherRows: [1], scatterRows: [1] },
  ...{ attention: [3, 4, 5, 6, 7], partialAttention: [3, 4, 5, 6, 7] },
}

/** See {@link INDICES}; none for other operations. */
export function indicesOf(name: string): readonly number[] {
  return INDICES[name] ?? []
}

/** Whether the host does an operation. */
export function isOfTheHost(name: string): boolean {
  return OF_THE_HOST.has(name)
}

/** @throws TypeError for an operation that there are no kernels of */
export function kernelsOf(operation: TracedOperation): Kernel[] {
  const make = KERNELS[operation.name]
  if (!make) throw new TypeError(`webgpu has no operation ${operation.name}`)
  return [make(operation)].flat()
}
