import type { Executable, TracedProgram } from './backend/backend.js'
import { collective } from './collective-error.js'
import { shown } from './elements.js'
import { ProgramInput } from './program-input.js'
import type { Value } from './trace.js'

/** A matrix that a program leaves behind: `columns` numbers a row, as many rows as its symbol had in the last run. */
export interface Output {
  data: Float32Array
  columns: number
}

/** The time that the runs of a program have spent, in milliseconds. */
export interface ProgramStatistics {
  busy: number
  /** The time until other ranks came to a collective, the first byte of a message came, or there was room for one. */
  waiting: number
  transfer: number
}

/** What all runs of a program so far have spent on one of its operations. */
export interface OperationProfile {
  /** Its name as it was traced. */
  operation: string
  /** Columns of its first input. */
  columnsIn: number
  /** Columns of its outputs together. */
  columnsOut: number
  milliseconds: number
  /** Bytes of the operands that were read and written: each once a run, however often they were. */
  bytes: number
}

/**
 * A traced list of operations over preallocated memory, which native threads run without JavaScript. Fill `inputs`, then
 * `run`, then read `outputs`; one run at a time.
 */
export class Program {
  /** The inputs by name. */
  readonly inputs: Readonly<Record<string, ProgramInput>>
  readonly outputs: Readonly<Record<string, Output>>
  readonly #executable: Executable
  readonly #symbols: TracedProgram['symbols']

  /** @internal */
  constructor(executable: Executable, { symbols, values, outputs }: TracedProgram) {
    this.#executable = executable
    this.#symbols = symbols
    const inputs = values.flatMap(({ input, type }) =>
      input ? [[input, new ProgramInput(input, type as 'int32' | 'float32', executable.inputs[input]!)]] : [],
    )
    this.inputs = Object.fromEntries(inputs)
    const columnsOf = ([name, { columns }]: [string, Value]) => [name, { data: executable.outputs[name]!, columns }]
    this.outputs = Object.fromEntries(Object.entries(outputs).map(columnsOf))
  }

  /**
   * Runs every operation once. Row counts and indices are checked first: a run that is refused has done nothing, its groups
   * stay usable, and it can be repeated with others, on which the other ranks wait until their timeout.
   * @param rows The value of every row symbol, by name.
   * @throws RangeError if one is missing, no whole number, negative or above its limit, or if an index is outside of its
   * bounds, which names the operation; CollectiveError if a rank of a group fails.
   */
  run(rows: Record<string, number>): Promise<void> {
    const counts = this.#symbols.map(({ name, limit }) => {
      const count = rows?.[name]
      if (count === undefined || !(Number.isInteger(count) && count >= 0 && count <= limit)) {
        throw new RangeError(`${name} must be a whole number between 0 and ${limit}; found ${shown(count)}`)
      }
      return count
    })
    return collective(this.#executable.run(counts))
  }

  /** Milliseconds of all runs so far: computing, waiting for other ranks, and moving data to and from them. */
  get statistics(): ProgramStatistics {
    return this.#executable.statistics
  }

  /** The time and the bytes of each operation, in the order in which they run. */
  profile(): OperationProfile[] {
    return this.#executable.profile()
  }

  /** Makes a run that waits for other ranks fail with `reason`. */
  cancel(reason: string): void {
    this.#executable.cancel(reason)
  }
}
