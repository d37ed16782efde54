import type { TracedOperation, Value } from '../../trace-operands.js'
import type { TracedProgram } from '../backend.js'
import { type Placement, placeValues } from '../place-values.js'
import { isOfTheHost } from './kernels/index.js'

/** Operations that follow each other on one side: on the device, or on the host. */
export interface Segment {
  isOfTheHost: boolean
  /** Its operations, as [begin, end) of the program's. */
  begin: number
  end: number
  operations: readonly TracedOperation[]
  /** What it computes that the other side, or JavaScript, reads. */
  leaves: readonly Value[]
}

/** A program cut into segments, and where values of both sides lie. */
export interface Division {
  segments: readonly Segment[]
  /** Values that operations of the host, or JavaScript, read or write. */
  onHost: Placement
  onDevice: Placement
  /** Inputs that operations of the device read. */
  uploaded: readonly Value[]
}

/** Cuts a program where operations of the device and of the host follow each other. Constants lie elsewhere. */
export function divide(traced: TracedProgram, deviceAlignment: number): Division {
  const { values, operations, outputs } = traced
  const segments = cut(operations)
  const kept = new Set(Object.values(outputs))
  const touched = (isHost: boolean) =>
    new Set(
      operations
        .filter(({ name }) => isOfTheHost(name) === isHost)
        .flatMap((each) => [...each.inputs, ...each.outputs]),
    )
  const [byHost, byDevice] = [touched(true), touched(false)]
  const isOnHost = (value: Value) =>
    !value.tensor && (byHost.has(value) || kept.has(value) || value.input !== undefined)
  const isOnDevice = (value: Value) => !value.tensor && byDevice.has(value)
  for (const segment of segments) {
    const crosses = segment.isOfTheHost ? isOnDevice : isOnHost
    segment.leaves = segment.operations.flatMap((operation) => operation.outputs).filter(crosses)
  }
  const place = (isOurs: boolean, isThere: (value: Value) => boolean, alignment: number) =>
    placeValues(
      {
        values: values.filter(isThere),
        operations: segments.flatMap((segment) => usesOf(segment, segment.isOfTheHost === isOurs, isThere)),
        outputs: keptOf(outputs, isThere),
      },
      { alignment, inPlace: new Set() },
    )
  return {
    segments,
    onHost: place(true, isOnHost, 64),
    onDevice: place(false, isOnDevice, deviceAlignment),
    uploaded: values.filter((value) => value.input !== undefined && byDevice.has(value)),
  }
}

function cut(operations: readonly TracedOperation[]): { -readonly [K in keyof Segment]: Segment[K] }[] {
  const starts = operations.flatMap(({ name }, i) => {
    const before = operations[i - 1]
    return before && isOfTheHost(before.name) === isOfTheHost(name) ? [] : [i]
  })
  return starts.map((begin, i) => {
    const end = starts[i + 1] ?? operations.length
    return {
      isOfTheHost: isOfTheHost(operations[begin]!.name),
      begin,
      end,
      operations: operations.slice(begin, end),
      leaves: [],
    }
  })
}

/**
 * The operations of a segment as the memory of one side sees them: each on its own where the side does them, and then one that reads what
 * the other side takes; where the other side does them, one that writes what it leaves.
 */
function usesOf(
  { operations, leaves }: Segment,
  isOurs: boolean,
  isThere: (value: Value) => boolean,
): TracedOperation[] {
  const empty = { numbers: {}, group: undefined, inputs: [], outputs: [] }
  if (!isOurs) return [{ ...empty, name: 'arrive', outputs: leaves.filter(isThere) }]
  const own = operations.map((operation) => ({
    ...operation,
    inputs: operation.inputs.filter(isThere),
    outputs: operation.outputs.filter(isThere),
  }))
  return [...own, { ...empty, name: 'leave', inputs: leaves }]
}

function keptOf(outputs: TracedProgram['outputs'], isThere: (value: Value) => boolean): TracedProgram['outputs'] {
  return Object.fromEntries(Object.entries(outputs).filter(([, value]) => isThere(value)))
}
