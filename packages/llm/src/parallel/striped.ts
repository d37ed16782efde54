/**
 * The sequence rank that holds a position of a text. Tokens are dealt out one by one, so that every rank has as many as the
 * others, give or take one, and causal attention, where a token's work grows with its position, is even whatever the length
 * (striped attention, arXiv 2311.09431). As it depends on nothing but the position, what two texts have in common lies in the
 * same places.
 */
export function rankOf(position: number, ranks: number): number {
  return position % ranks
}

/** How many of the positions before one a rank holds. */
export function countBefore(position: number, rank: number, ranks: number): number {
  return Math.max(0, Math.ceil((position - rank) / ranks))
}
