/**
 * Measures things in turns, so that a machine whose speed drifts treats all alike.
 * @returns For each the median of its `runs` measurements, number by number.
 */
export async function interleave<Name extends string, Key extends string>(
  measures: Record<Name, () => Promise<Record<Key, number>>>,
  runs: number,
): Promise<Record<Name, Record<Key, number>>> {
  const names = Object.keys(measures) as Name[]
  const found = new Map<Name, Record<Key, number>[]>(names.map((name) => [name, []]))
  for (let run = 0; run < runs; run++) {
    for (const name of names) found.get(name)!.push(await measures[name]())
  }
  const medians = names.map((name) => {
    const measured = found.get(name)!
    const keys = Object.keys(measured[0]!) as Key[]
    return [name, Object.fromEntries(keys.map((key) => [key, median(measured.map((one) => one[key]))]))]
  })
  return Object.fromEntries(medians)
}

function median(values: readonly number[]): number {
  const rising = [...values].sort((a, b) => a - b)
  const middle = rising.length >> 1
  return rising.length % 2 === 1 ? rising[middle]! : (rising[middle - 1]! + rising[middle]!) / 2
}
