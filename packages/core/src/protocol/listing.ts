import type { Isolation } from './actor.js'
import type { Resources } from './resources.js'

/** An actor, as `cluster.actors()` lists it. */
export interface ActorInfo {
  readonly id: string
  readonly name: string
  readonly namespace: string
  readonly className: string
  readonly isolation: Isolation
  readonly state: 'starting' | 'alive' | 'restarting' | 'dead'
  readonly pid: number
  readonly nodeId: string
  readonly restarts: number
  readonly resources: Resources
  /** The reason of its last death. */
  readonly reason?: string | undefined
  /** The number of its failed calls that their callers do not wait for: those of `mesh.broadcast`. */
  readonly failedBroadcasts: number
}

/** A process of the cluster, in the lists of what it owns. */
export interface ProcessInfo {
  /** The name of its actor or of the function of its task; `driver` for a driver. */
  readonly name: string
  /** The process id; 0 if it is not known. */
  readonly pid: number
  readonly nodeId: string
}

/** A task that has no outcome yet, as `cluster.tasks()` lists it. */
export interface TaskInfo {
  /** The name of its function. */
  readonly name: string
  /** `waiting` for its arguments, `queued` until a worker is free for it, or `running`. */
  readonly state: 'waiting' | 'queued' | 'running'
  /** Seconds since it was called. */
  readonly age: number
  /** The process that it runs in; 0 and empty before. */
  readonly pid: number
  readonly nodeId: string
  /** The process that called it. */
  readonly owner: ProcessInfo
}

/** A value that is shared by refs, as `cluster.objects()` lists it. */
export interface ObjectInfo {
  readonly id: string
  readonly state: 'pending' | 'ready' | 'failed'
  /** The bytes that it takes in a message to another host, where it is there and can be sent. */
  readonly size?: number | undefined
  /** The process that owns it, where its value is. */
  readonly owner: ProcessInfo
  /** The other processes that hold refs of it, with how many. */
  readonly holders: readonly (ProcessInfo & { readonly refs: number })[]
}

/** The objects and tasks that a process owns. */
export interface Inventory {
  readonly pid: number
  readonly objects: readonly (Pick<ObjectInfo, 'id' | 'state' | 'size'> & {
    readonly holders: readonly (readonly [processId: string, refs: number])[]
  })[]
  readonly tasks: readonly (Pick<TaskInfo, 'name' | 'state' | 'age'> & {
    /** The lease of the worker that it runs on. */
    readonly lease?: string | undefined
  })[]
}

/** The calls that the main thread of a process is in. */
export interface Stack {
  /** `idle`: it runs no JavaScript. `blocked`: it is in native code or a system call, and lets nobody look. */
  readonly state: 'running' | 'idle' | 'blocked'
  /** Its calls, the innermost first. */
  readonly frames: readonly string[]
}

/** The stack of an actor's process, as `cluster.stack()` gives it. */
export interface ActorStack extends Stack, ProcessInfo {}
