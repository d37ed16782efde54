// Counts words with tasks: plain functions that run in pooled worker processes. The results of the first step are refs, which
// the second step takes as arguments without this program ever seeing them.
import { connect, isMain, remote } from '@troupe/core'

export function countWords(text: string): Map<string, number> {
  const counts = new Map<string, number>()
  for (const word of text.toLowerCase().match(/[a-z]+/g) ?? []) counts.set(word, (counts.get(word) ?? 0) + 1)
  return counts
}

export function merge(left: Map<string, number>, right: Map<string, number>): Map<string, number> {
  for (const [word, count] of right) left.set(word, (left.get(word) ?? 0) + count)
  return left
}

const mapping = remote(import.meta.url, countWords)
const merging = remote(import.meta.url, merge)

if (isMain(import.meta)) {
  await using _cluster = await connect()
  const texts = ['the cat sat', 'the dog sat on the cat', 'a dog and a cat', 'the end']
  let counts = texts.map((text) => mapping(text))
  while (counts.length > 1) {
    const [left, right, ...rest] = counts
    counts = [...rest, merging(left!, right!)]
  }
  const sorted = [...(await counts[0]!)].sort(([a, m], [b, n]) => n - m || a.localeCompare(b))
  for (const [word, count] of sorted.slice(0, 3)) console.log(`${word} ${count}`)
}
