import type { TracedOperation, Value } from '../trace.js'
import { mostBytes } from '../value-shape.js'
import type { TracedProgram } from './backend.js'

/** How values may lie in an arena. */
export interface PlacementRules {
  /** Every value begins at a multiple of this many bytes. */
  alignment: number
  /** Operations that may write their result over their first input, if they are the last to read it. */
  inPlace: ReadonlySet<string>
}

/** Where the values of a program that are not constants begin in an arena, in bytes, and the bytes of the arena. */
export interface Placement {
  offsets: ReadonlyMap<Value, number>
  arenaBytes: number
}

/**
 * Places values in an arena, first fit, operation by operation: memory of values that are no longer needed is used again. Inputs
 * and outputs of the program keep theirs to the end.
 */
export function placeValues(
  { values, operations, outputs }: Pick<TracedProgram, 'values' | 'operations' | 'outputs'>,
  { alignment, inPlace }: PlacementRules,
): Placement {
  // Of no rows too, so that no two values begin at one byte, and none at the end.
  const bytesOf = (value: Value) => Math.max(1, Math.ceil(mostBytes(value) / alignment)) * alignment
  const kept = new Set(Object.values(outputs))
  const lastUse = new Map<Value, number>()
  operations.forEach((operation, index) => {
    for (const value of operation.inputs) lastUse.set(value, index)
  })
  const offsets = new Map<Value, number>()
  const arena = new Arena()
  for (const value of values) {
    if (value.input) offsets.set(value, arena.take(bytesOf(value)))
  }
  const endsAt = (value: Value, index: number) =>
    lastUse.get(value) === index && !value.input && !value.tensor && !kept.has(value)
  const canOverwrite = ({ name, inputs, outputs }: TracedOperation, input: Value) => {
    const isAlone = inputs.indexOf(input) === inputs.lastIndexOf(input)
    return inPlace.has(name) && isAlone && bytesOf(input) === bytesOf(outputs[0]!)
  }

  operations.forEach((operation, index) => {
    const ending = new Set(operation.inputs.filter((value) => endsAt(value, index)))
    for (const output of operation.outputs) {
      const first = operation.inputs[0]
      if (first && ending.has(first) && canOverwrite(operation, first)) {
        offsets.set(output, offsets.get(first)!)
        ending.delete(first)
      } else {
        offsets.set(output, arena.take(bytesOf(output)))
      }
      if (!lastUse.has(output) && !kept.has(output)) ending.add(output)
    }
    for (const value of ending) arena.free(offsets.get(value)!, bytesOf(value))
  })
  return { offsets, arenaBytes: arena.bytes }
}

/** Hands out pieces of a growing range of bytes. */
class Arena {
  bytes = 0
  #holes: { start: number; end: number }[] = []

  take(size: number): number {
    const hole = this.#holes.find(({ start, end }) => end - start >= size)
    if (!hole) {
      const start = this.bytes
      this.bytes += size
      return start
    }
    const { start } = hole
    hole.start += size
    this.#holes = this.#holes.filter(({ start, end }) => end > start)
    return start
  }

  free(start: number, size: number): void {
    const holes = [...this.#holes, { start, end: start + size }].sort((a, b) => a.start - b.start)
    this.#holes = []
    for (const hole of holes) {
      const last = this.#holes.at(-1)
      if (last && last.end === hole.start) last.end = hole.end
      else this.#holes.push(hole)
    }
  }
}
