/**
 * Divides the room of a step among prompts. The first, which has waited longest, gets half of it at least; the others get what is
 * left, those with the least to do first, so that a short prompt does not wait for a long one.
 * @param left The tokens that each prompt still has to be computed, in the order they came.
 * @param room Tokens of the step that are free.
 * @returns The tokens that each gets, in the same order.
 */
export function dividePrompts(left: readonly number[], room: number): number[] {
  if (left.length === 0) return []
  const sizes = left.map(() => 0)
  const kept = Math.min(left[0]!, Math.ceil(room / 2))
  let free = room - kept
  const shortest = left.map((_, index) => index).slice(1)
  for (const index of shortest.sort((a, b) => left[a]! - left[b]!)) {
    sizes[index] = Math.min(left[index]!, free)
    free -= sizes[index]!
  }
  sizes[0] = Math.min(left[0]!, free + kept)
  return sizes
}
