/** What several generators give, as it comes, each item with the place of its generator. Ending one ends all. */
export async function* merged<Item>(
  generators: readonly AsyncGenerator<Item, void, void>[],
): AsyncGenerator<[place: number, item: Item], void, void> {
  const next = async (place: number) => ({ place, result: await generators[place]!.next() })
  const waiting = new Map(generators.map((_, place) => [place, next(place)]))
  try {
    while (waiting.size > 0) {
      const { place, result } = await Promise.race(waiting.values())
      if (result.done) {
        waiting.delete(place)
      } else {
        yield [place, result.value]
        waiting.set(place, next(place))
      }
    }
  } finally {
    for (const other of waiting.values()) other.catch(() => {})
    // One that waits for its next item ends only when that has come, which is for its own source to see to.
    for (const generator of generators) generator.return().catch(() => {})
  }
}
