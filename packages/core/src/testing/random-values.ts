/** Numbers in [0, 1) that depend on the seed alone (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

/** A nested value of all the kinds that can be sent. */
export function randomValue(random: () => number, depth = 4): unknown {
  const below = (limit: number) => Math.floor(random() * limit)
  const several = <T>(make: () => T) => Array.from({ length: below(5) }, make)
  const text = () => several(() => String.fromCodePoint(below(0xd7ff))).join('')
  const nested = () => randomValue(random, depth - 1)
  const leaves = [
    () => null,
    () => undefined,
    () => random() < 0.5,
    () => below(2 ** 31) - 2 ** 30,
    () => (random() - 0.5) * 10 ** below(300),
    () => [Number.NaN, -0, Number.POSITIVE_INFINITY, 2 ** 53, -(2 ** 40)][below(5)],
    () => text(),
    () => BigInt(below(2 ** 31)) ** BigInt(below(6)) * (random() < 0.5 ? -1n : 1n),
    () => new Date(below(2 ** 41)),
    () => Uint8Array.from(several(() => below(256))),
    () => Float64Array.from({ length: below(400) }, () => random()),
    () => /^a+b$/gi,
    () => new URL(`https://example.org/${below(9)}`),
  ]
  const branches = [
    () => several(nested),
    () => Object.fromEntries(several(() => [text(), nested()])),
    () => new Map(several(() => [nested(), nested()])),
    () => new Set(several(nested)),
  ]
  const choices = depth > 0 ? [...leaves, ...branches, ...branches, ...branches] : leaves
  return choices[below(choices.length)]!()
}
