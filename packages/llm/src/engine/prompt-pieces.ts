/** Where prompts are cut: pieces of a few tokens are computed in another way, which rounds otherwise. */
const CUT = 16
const SHORTEST = 8

/**
 * Divides the room of a step among prompts. The first, which has waited longest, gets half of it at least; the others get what is
 * left, those with the least to do first, so that a short prompt does not wait for a long one.
 * @param left The tokens that each prompt still has to be computed, in the order they came.
 * @param room Tokens of the step that are free.
 * @param isSmall Whether steps are too small for prompts to be cut at multiples of 16 tokens.
 * @returns The tokens that each gets, in the same order.
 */
export function dividePrompts(left: readonly number[], room: number, isSmall: boolean): number[] {
  if (left.length === 0) return []
  const sizes = left.map(() => 0)
  const kept = Math.min(left[0]!, Math.ceil(room / 2))
  let free = room - kept
  const shortest = left.map((_, index) => index).slice(1)
  for (const index of shortest.sort((a, b) => left[a]! - left[b]!)) {
    sizes[index] = pieceOf(left[index]!, free, isSmall)
    free -= sizes[index]!
  }
  sizes[0] = pieceOf(left[0]!, free + kept, isSmall)
  return sizes
}

/** How many of the `left` tokens of a prompt fit where there is `room`. */
function pieceOf(left: number, room: number, isSmall: boolean): number {
  if (left <= room) return left
  if (isSmall) return room
  const size = Math.floor(room / CUT) * CUT
  return left - size < SHORTEST ? Math.max(0, size - CUT) : size
}
