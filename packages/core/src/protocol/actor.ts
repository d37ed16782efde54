import type { ProcessAddress } from '../transport/connection-manager.js'
import type { Sealed } from '../transport/sealed.js'
import type { PlaceRequest } from './placement.js'

/** Places of an actor along the dimensions of its mesh. */
export type Coordinates = Readonly<Record<string, number>>

/** The sizes of a mesh's dimensions, the first one being the slowest. */
export type Dimensions = Readonly<Record<string, number>>

/** The class of an actor: what a worker imports. */
export interface ActorClass {
  /** URL of the module. */
  readonly module: string
  /** The name the module exports the class by. */
  readonly exportName: string
  readonly className: string
  /** The methods that the class has, beside those that instances may keep in fields. */
  readonly methods: readonly string[]
  /** The methods that are generators: calls of them give a stream, never a ref. */
  readonly generators: readonly string[]
}

/** The facts that every process may know about an actor; a handle travels as this. */
export interface ActorRecord {
  readonly id: string
  readonly name: string
  readonly pid: number
  readonly address: ProcessAddress
  readonly methods: readonly string[]
  readonly generators: readonly string[]
  /** The number of its restarts; the larger of two records of an actor is the newer one. */
  readonly restarts: number
  /** Whether it can come back from a death, so that an old record may name a process that has gone. */
  readonly restartable: boolean
  readonly maxTaskRetries: number
  readonly maxPendingCalls: number
}

/** The reason why a process or an actor has ended. */
export interface Death {
  readonly reason: string
  /** The last lines on its stderr. */
  readonly lines?: readonly string[] | undefined
  /** The error that it threw outside of a call, or that its constructor threw in a restart. */
  readonly cause?: unknown
  /**
   * Whether trying at once again would not change it: its node could start no process at all, or a module does not get
   * imported.
   */
  readonly isRefused?: boolean | undefined
}

/** The state of an actor, as the head knows it. */
export type ActorState =
  | { readonly state: 'alive'; readonly record: ActorRecord }
  | { readonly state: 'restarting'; readonly death: Death }
  | { readonly state: 'dead'; readonly death: Death }

/** A group of methods with a limit of their own. */
export interface ConcurrencyGroup {
  readonly limit: number
  readonly methods: readonly string[]
}

/** The number of calls of an actor that may run at a time: those in no group share `limit`. */
export interface Concurrency {
  readonly limit: number
  readonly groups: readonly ConcurrencyGroup[]
}

/**
 * The part of an actor's surroundings that it shares with others: nothing (`process`), a process with threads that were
 * started alike (`thread`), or the thread of the process that spawned it (`local`).
 */
export type Isolation = 'process' | 'thread' | 'local'

/** Settings of a process beside those that its node gives it. */
export interface ProcessSettings {
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly nodeFlags?: readonly string[] | undefined
  readonly cwd?: string | undefined
}

/** One actor of a spawn request. */
export interface MemberRequest {
  readonly coordinates?: Coordinates
  readonly rank?: number
  /** The node it must run on; left out, where its spawn's place says. */
  readonly nodeId?: string
}

/** A request to spawn actors. */
export interface SpawnRequest {
  readonly actorClass: ActorClass
  /** The actor's name; left out, the head numbers the class's actors, and a mesh's members carry their coordinates. */
  readonly name?: string | undefined
  /** The namespace that the name is looked up in; left out, that of the process that asks. */
  readonly namespace?: string | undefined
  /** Whether to return the actor of that name where there is one. */
  readonly getIfExists?: boolean | undefined
  /** Whether it outlives its driver. */
  readonly detached?: boolean | undefined
  readonly members: MemberRequest[]
  readonly dimensions?: Dimensions | undefined
  readonly place: PlaceRequest
  readonly isolation: Isolation
  readonly settings: ProcessSettings
  /** The prefix of each line of its output; left out, its name. */
  readonly logPrefix?: string | undefined
  readonly concurrency: Concurrency
  /** Milliseconds that its process may take to start, and then the import of its module. */
  readonly startTimeout: number
  readonly maxRestarts: number
  /** Whether somebody decides on restarts beyond those. */
  readonly isSupervised: boolean
  /** Whether the restart of one member of a mesh restarts the others too. */
  readonly strategy: 'one-for-one' | 'all-for-one'
  readonly maxTaskRetries: number
  readonly maxPendingCalls: number
  /** The constructors' arguments by member, for restarts. */
  readonly creation?: readonly Sealed[] | undefined
}

/** The result of a spawn, for each of its actors. */
export interface Spawned {
  readonly record: ActorRecord
  /** Whether it is constructed already: it lived before, or was restarted before the spawn was answered. */
  readonly isConstructed: boolean
  /** Whether it lived before. */
  readonly existed: boolean
}

/** Specification of a worker that a node agent is to start. */
export interface WorkerSpec extends ProcessSettings {
  readonly processId: string
  /** Makes it a thread, in a process that it shares with the others of the same group. */
  readonly thread?: ThreadPlace | undefined
}

/** The process that a thread is started in. */
export interface ThreadPlace {
  /** Threads of one group, settings and GPUs share a process. */
  readonly group: string
  readonly gpus: readonly number[]
}

/** Specification of the actor that a worker is to become. */
export interface ActorSpec extends MemberRequest {
  readonly actorId: string
  readonly name: string
  readonly actorClass: ActorClass
  readonly concurrency: Concurrency
  readonly dimensions?: Dimensions | undefined
  readonly gpus: readonly number[]
  /** The record that its own handle stands for. */
  readonly record: ActorRecord
  /** Whether those that own it decide about actors that it spawns. */
  readonly isSupervised: boolean
  readonly folders?: WorkerFolders | undefined
}

/** The folders of a worker whose driver has a working directory. */
export interface WorkerFolders {
  /** The working directory on the worker's node. */
  readonly root: string
  /** The folder to work in. */
  readonly cwd: string
}

/** The target of calls that run tasks; their method is the module and the export of the function. */
export const TASK = 'task'

/** The same for functions whose results are several values in an array. */
export const TASK_OF_SEVERAL = 'tasks'

/** The method that stops an actor: no method of a class has this name, and as a call it keeps its place in the order. */
export const STOP = ''

/** Milliseconds that an actor's onStop may take. */
export const STOP_TIMEOUT = 5000

/** A call that waits: on the way from one to what it waits for in the end. */
export interface WaitingCall {
  /** The call's name in messages: `Counter#1.add`. */
  readonly label: string
  /** The semaphore that it waits for a turn in, and its number among those that do; undefined for a call that runs. */
  readonly semaphore?: string | undefined
  readonly number?: number | undefined
}
