import { Program as NativeProgram, type ProgramDescription, type ValueShape } from '@troupe/native'
import { bytesOfRows } from './data-type.js'
import { fuse } from './fuse.js'
import { type Output, Program } from './program.js'
import { ProgramInput } from './program-input.js'
import type { CompileOptions, Trace, TracedOperation, Value } from './trace.js'

const ALIGNMENT = 64
/** Operations that may write their result over their first input. */
const IN_PLACE = new Set(['add', 'siluMultiply', 'rotate', 'allReduce'])

/**
 * Compiles a trace: gives every value its memory, reusing that of values no longer needed.
 * @param join Joins operations.
 */
export function compile(
  trace: Trace,
  outputs: Record<string, Value>,
  { threads, cores }: CompileOptions,
  join: typeof fuse = fuse,
): Program {
  const computed = new Set(trace.operations.flatMap((operation) => operation.outputs))
  for (const [name, value] of Object.entries(outputs)) {
    if (computed.has(value) || trace.values.some((known) => known === value && known.input)) continue
    throw new TypeError(`output ${name}: expected what an operation of this trace computes, or an input`)
  }
  const kept = new Set(Object.values(outputs))
  const operations = join(trace.operations, kept)
  const { offsets, arenaBytes } = placeValues(trace.values, operations, kept)
  const groups = [...new Set(operations.flatMap((operation) => operation.group ?? []))]
  const description: ProgramDescription = {
    symbols: trace.symbols.map(({ name, limit }) => ({ name, limit })),
    values: trace.values.map((value) => ({
      ...shapeOf(value),
      ...(value.tensor
        ? { offset: value.tensor.offset, storage: value.tensor.storage }
        : { offset: offsets.get(value) ?? 0 }),
    })),
    arenaBytes,
    operations: operations.map((operation) => ({
      name: operation.name,
      inputs: operation.inputs.map((value) => value.index),
      outputs: operation.outputs.map((value) => value.index),
      numbers: operation.numbers,
      group: operation.group ? groups.indexOf(operation.group) : -1,
    })),
    groups: groups.map((group) => group.native),
  }
  const native = new NativeProgram(description, threads, cores)
  const inputs: Record<string, ProgramInput> = {}
  for (const value of trace.values) {
    if (!value.input) continue
    const type = value.type as 'int32' | 'float32'
    const length = rowLimit(value) * value.columns
    inputs[value.input] = new ProgramInput(value.input, type, native.arena, offsets.get(value)!, length)
  }
  const views: Record<string, Output> = {}
  for (const [name, value] of Object.entries(outputs)) {
    const data = new Float32Array(native.arena, offsets.get(value), rowLimit(value) * value.columns)
    views[name] = { data, columns: value.columns }
  }
  return new Program(native, trace.symbols, inputs, views)
}

/** Arena offsets by a first-fit scan over the operations; inputs and outputs keep their memory to the end. */
function placeValues(
  values: readonly Value[],
  operations: readonly TracedOperation[],
  outputs: ReadonlySet<Value>,
): { offsets: Map<Value, number>; arenaBytes: number } {
  const lastUse = new Map<Value, number>()
  operations.forEach((operation, index) => {
    for (const value of operation.inputs) lastUse.set(value, index)
  })
  const offsets = new Map<Value, number>()
  const arena = new Arena()
  for (const value of values) {
    if (value.input) offsets.set(value, arena.take(byteSize(value)))
  }
  const endsAt = (value: Value, index: number) =>
    lastUse.get(value) === index && !value.input && !value.tensor && !outputs.has(value)

  operations.forEach((operation, index) => {
    const ending = new Set(operation.inputs.filter((value) => endsAt(value, index)))
    for (const output of operation.outputs) {
      const first = operation.inputs[0]
      if (first && ending.has(first) && canOverwrite(operation, first)) {
        offsets.set(output, offsets.get(first)!)
        ending.delete(first)
      } else {
        offsets.set(output, arena.take(byteSize(output)))
      }
      if (!lastUse.has(output) && !outputs.has(output)) ending.add(output)
    }
    for (const value of ending) arena.free(offsets.get(value)!, byteSize(value))
  })
  return { offsets, arenaBytes: arena.bytes }
}

function canOverwrite(operation: TracedOperation, input: Value): boolean {
  const isAlone = operation.inputs.indexOf(input) === operation.inputs.lastIndexOf(input)
  return IN_PLACE.has(operation.name) && isAlone && byteSize(input) === byteSize(operation.outputs[0]!)
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

/** A value as native code knows it, but for its memory. */
export function shapeOf(value: Value): ValueShape {
  const symbol = typeof value.rows === 'number' ? -1 : value.rows.index
  const isPacked = value.isPacked ?? false
  return { type: programType(value), symbol, rows: rowLimit(value), columns: value.columns, isPacked }
}

function rowLimit(value: Value): number {
  return typeof value.rows === 'number' ? value.rows : value.rows.limit
}

function byteSize(value: Value): number {
  const bytes = bytesOfRows(value.type, rowLimit(value), value.columns)
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT
}

/** Trace.constant() takes no tensors of other types. */
function programType({ type }: Value): ValueShape['type'] {
  return type as ValueShape['type']
}
