import type { RankAddress, Reduction } from '@troupe/tensor'
import type { ChannelReader } from '../channel/channel.js'

/** Numbers a value of a graph: its inputs first, then what its steps compute. */
export type ValueId = number

/** An argument of a step: a value of the graph, or one that was known when it was compiled. */
export type Argument = { readonly value: ValueId } | { readonly constant: unknown }

/** A call of a method, once an execution. */
export interface CallStep {
  readonly kind: 'call'
  readonly value: ValueId
  /** Its name in errors and traces: `Encoder#1.encode`. */
  readonly label: string
  readonly method: string
  readonly args: readonly Argument[]
}

/** One actor's part in a collective. */
export interface CollectiveStep {
  readonly kind: 'collective'
  readonly value: ValueId
  readonly label: string
  readonly operation: 'allReduce' | 'allGather' | 'reduceScatter'
  readonly reduction: Reduction
  readonly args: readonly Argument[]
  /** The graph's group that runs it, and the rank there. */
  readonly group: number
  readonly rank: number
  /** The names of the ranks in errors. */
  readonly members: readonly string[]
}

export type GraphStep = CallStep | CollectiveStep

/** A value that other processes read. */
export interface OutletSpec {
  readonly value: ValueId
  /** The number of those processes. */
  readonly readers: number
  /** Whether they need to know only that it was computed, or why not. */
  readonly isOutcome: boolean
}

/** The part of a graph that an actor's worker runs. */
export interface PartSpec {
  readonly graph: string
  readonly maxInFlight: number
  readonly steps: readonly GraphStep[]
  readonly outlets: readonly OutletSpec[]
  /** Shared by the ranks of the graph's groups. */
  readonly token: string
}

/** The channels and ranks that a worker has made of its part. */
export interface Prepared {
  readonly readers: readonly (readonly ChannelReader<unknown>[])[]
  /** The address at which the other ranks of its collectives reach it, by group. */
  readonly ranks: readonly { readonly group: number; readonly address: RankAddress }[]
}

/** The channels and ranks of others that a worker needs to start. */
export interface Wiring {
  readonly inlets: readonly { readonly value: ValueId; readonly reader: ChannelReader<unknown> }[]
  readonly groups: readonly { readonly group: number; readonly addresses: readonly RankAddress[] }[]
}

/** A step of one execution, in milliseconds since the epoch. */
export interface StepRecord {
  readonly label: string
  readonly execution: number
  readonly start: number
  readonly end: number
}

/** Requests that the process which compiled a graph makes of a worker. */
export interface GraphService {
  prepareGraph(spec: PartSpec): Prepared
  startGraph(graph: string, wiring: Wiring): Promise<void>
  /** Resolves when the part has ended. */
  attendGraph(graph: string): Promise<void>
  /** Starts or stops recording; returns what was recorded. */
  recordGraph(graph: string, isRecording: boolean): readonly StepRecord[]
  /** Ends the part once what runs has run. */
  endGraph(graph: string): Promise<void>
}
