import type { ParseArgsConfig } from 'node:util'

/** One measured number; `name` says of what, e.g. `allreduce.4096`. */
export interface Figure {
  name: string
  unit: string
  value: number
  /** Pages that became present meanwhile, touched for the first time or populated, in the process that measured. */
  faults?: number
}

/** A group of measurements that is run by its name. */
export interface Benchmark {
  readonly name: string
  readonly summary: string
  readonly options: NonNullable<ParseArgsConfig['options']>
  /**
   * Measures, and yields each figure as it is known.
   * @throws BenchmarkError for values that cannot be measured with.
   */
  run(values: Readonly<Record<string, unknown>>): AsyncIterable<Figure>
}

/** A mistake that the user can correct, in one line. */
export class BenchmarkError extends Error {}
