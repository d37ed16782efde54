import type { Range } from './plan.js'

/**
 * Deals the next `count` tokens of a sequence to ranks that already hold `held[rank]` of its tokens, so that all end up
 * with as equal numbers as possible. Each rank gets a run from the head and one from the tail of the tokens, which evens
 * out causal attention, where a token's work grows with its position (arXiv 2411.01783, section 3.5.1).
 *
 * @returns For each rank the offsets, rising, of its tokens among the `count`.
 */
export function zigzagPartition(count: number, held: readonly number[]): number[][] {
  const shares = evenShares(count, held)
  const dealt: number[][] = held.map(() => [])
  let next = 0
  const take = (rank: number, size: number) => {
    for (let i = 0; i < size; i++) dealt[rank]!.push(next++)
  }
  shares.forEach((share, rank) => {
    take(rank, Math.ceil(share / 2))
  })
  for (let rank = shares.length - 1; rank >= 0; rank--) take(rank, Math.floor(shares[rank]! / 2))
  return dealt
}

/** How many of `count` each rank gets so that the sums with `held` differ as little as possible; ties to lower ranks. */
function evenShares(count: number, held: readonly number[]): number[] {
  const shares = held.map(() => 0)
  const rising = held.map((_, rank) => rank).sort((a, b) => held[a]! - held[b]! || a - b)
  let left = count
  // Ranks are filled up to a common level, the emptiest first.
  for (let filled = 1; left > 0; filled++) {
    const group = rising.slice(0, filled)
    const level = held[group[0]!]! + shares[group[0]!]!
    const next = filled < rising.length ? held[rising[filled]!]! : Number.POSITIVE_INFINITY
    const room = Math.min(left, (next - level) * filled)
    group
      .sort((a, b) => a - b)
      .forEach((rank, i) => {
        shares[rank]! += Math.floor(room / filled) + (i < room % filled ? 1 : 0)
      })
    left -= room
  }
  return shares
}

/** How many of the rising `positions` lie below `limit`. */
export function countBelow(positions: readonly number[], limit: number): number {
  const range: Range = { start: 0, end: positions.length }
  while (range.start < range.end) {
    const middle = (range.start + range.end) >> 1
    if (positions[middle]! < limit) range.start = middle + 1
    else range.end = middle
  }
  return range.start
}
