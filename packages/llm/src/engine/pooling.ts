import { InvalidInputError } from '@troupe/core'
import type { Listener, Task } from './request.js'

/** How the hidden states of a text's tokens become one vector: that of the last, or of the first, or the mean of all. */
export type Pooling = 'last' | 'mean' | 'first'

export const POOLINGS: readonly Pooling[] = ['last', 'mean', 'first']

/** Computes the hidden states of the last token of a text, or of all. */
type HiddenStates = (
  text: readonly number[],
  of: Extract<Task, { kind: 'embed' }>['tokens'],
  listener: Listener['hiddenStates'],
) => Promise<void>

/**
 * The hidden states of a text as one vector.
 * @returns [hidden]
 * @throws InvalidInputError if there is no such pooling.
 */
export async function pooled(
  text: readonly number[],
  pooling: Pooling,
  hiddenSize: number,
  hiddenStates: HiddenStates,
): Promise<Float32Array> {
  if (!POOLINGS.includes(pooling)) {
    throw new InvalidInputError(`pooling must be one of ${POOLINGS.join(', ')}; found ${String(pooling)}`)
  }
  const sum = new Float64Array(hiddenSize)
  // A token sees only those before it, so the first is the last of a text of its own.
  const seen = pooling === 'first' ? text.slice(0, 1) : text
  await hiddenStates(seen, pooling === 'mean' ? 'all' : 'last', (_, states) => {
    for (const state of states) for (const [i, value] of state.entries()) sum[i]! += value
  })
  const count = pooling === 'mean' ? text.length : 1
  return Float32Array.from(sum, (value) => value / count)
}
