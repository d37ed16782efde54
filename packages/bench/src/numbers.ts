import { BenchmarkError } from './benchmark.js'

/**
 * The value of an option that counts something.
 * @throws BenchmarkError unless it is a whole number of at least `least`.
 */
export function countOf(values: Readonly<Record<string, unknown>>, name: string, least = 1): number {
  const count = Number(values[name])
  if (Number.isSafeInteger(count) && count >= least) return count
  throw new BenchmarkError(`--${name} must be a whole number of at least ${least}; found ${values[name]}`)
}

/** How many pages have become present in this process: touched for the first time, or populated. */
export function pageFaults(): number {
  return process.resourceUsage().minorPageFault
}
