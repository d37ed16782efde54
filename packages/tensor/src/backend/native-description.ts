import type { ProgramDescription, Storage } from '@troupe/native'
import type { TracedOperation, Value } from '../trace-operands.js'
import { shapeOf } from '../value-shape.js'
import type { TracedProgram } from './backend.js'

/** An operation as native code takes it, where that is not as it was traced. */
export type NativeForm = Partial<Pick<TracedOperation, 'name' | 'outputs'>> & { isElsewhere?: boolean }

/**
 * A traced program as native code takes it.
 * @param memoryOf Where a value lies: at an offset of a storage, or of the arena.
 * @param formOf How an operation differs from what was traced.
 */
export function describe(
  { symbols, values, operations }: Pick<TracedProgram, 'symbols' | 'values' | 'operations'>,
  arenaBytes: number,
  memoryOf: (value: Value) => { offset: number; storage?: Storage },
  formOf: (operation: TracedOperation) => NativeForm = () => ({}),
): ProgramDescription {
  const groups = [...new Set(operations.flatMap((operation) => operation.group ?? []))]
  return {
    symbols: symbols.map(({ name, limit }) => ({ name, limit })),
    values: values.map((value) => ({ ...shapeOf(value), ...memoryOf(value) })),
    arenaBytes,
    operations: operations.map((operation) => {
      const { inputs, numbers, geometry, group } = operation
      const { name = operation.name, outputs = operation.outputs, isElsewhere = false } = formOf(operation)
      return {
        name,
        inputs: inputs.map((value) => value.index),
        outputs: outputs.map((value) => value.index),
        ...{ numbers, geometry, isElsewhere },
        group: group ? groups.indexOf(group) : -1,
      }
    }),
    groups: groups.map((group) => group.native),
  }
}
