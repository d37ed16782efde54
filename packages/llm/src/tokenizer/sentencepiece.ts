/**
 * The merges of a SentencePiece BPE vocabulary, the likeliest first: every pair of pieces that together are a piece, by
 * that piece's score. Ties are ordered as Hugging Face's converter orders them (transformers, convert_slow_tokenizer.py,
 * generate_merges), so that text splits into the tokens that a converted model gives.
 */
export function mergesFromScores(pieces: readonly string[], scores: readonly number[]): [string, string][] {
  const ids = new Map(pieces.map((piece, id) => [piece, id]))
  const merges: { left: string; right: string; score: number }[] = []
  for (const [piece, id] of ids) {
    const letters = Array.from(piece)
    const pairs = letters.slice(1).flatMap((_, i) => {
      const left = letters.slice(0, i + 1).join('')
      const right = letters.slice(i + 1).join('')
      return ids.has(left) && ids.has(right) ? [{ left, right, score: scores[id]! }] : []
    })
    pairs.sort((a, b) => ids.get(a.left)! - ids.get(b.left)! || ids.get(a.right)! - ids.get(b.right)!)
    merges.push(...pairs)
  }
  const lengthOf = (text: string) => Array.from(text).length
  merges.sort(
    (a, b) => b.score - a.score || lengthOf(b.left) - lengthOf(a.left) || lengthOf(b.right) - lengthOf(a.right),
  )
  return merges.map(({ left, right }) => [left, right])
}
