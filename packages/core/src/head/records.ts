import type { ActorFailure } from '../common/hooks.js'
import type { ActorRecord, ActorState, Death, SpawnRequest } from '../protocol/actor.js'
import type { DirectoryId } from '../protocol/directory-id.js'
import type { NodeService } from '../protocol/services.js'
import type { Remote } from '../transport/control.js'
import type { Peer } from '../transport/peer.js'
import type { Grant } from './cluster-scheduler.js'
import type { ResourcePool } from './resource-pool.js'
import type { WorkerPlace, WorkerProcess } from './worker-pool.js'

/** A node as the head keeps it. */
export interface Node {
  readonly id: string
  readonly host: string
  readonly pid: number
  readonly cpus: number
  readonly labels: Readonly<Record<string, string>>
  readonly pool: ResourcePool
  readonly agent: Remote<NodeService>
}

/** The process that asks for an actor. */
export interface Owner {
  readonly processId: string
  /** The driver at the root of what the process belongs to; empty where that is a detached actor. */
  readonly driver: string
  readonly namespace: string
  /** The working directory of that driver. */
  readonly directory?: DirectoryId | undefined
  /** The place of its local actors. */
  readonly place: WorkerPlace
  /** Whether it has ended; what it had asked for by then is nobody's. */
  isGone: boolean
}

/** An actor as the head keeps it, while it lives. */
export interface Actor {
  readonly id: string
  readonly name: string
  readonly namespace: string
  readonly request: SpawnRequest
  readonly member: number
  readonly owner: string
  readonly driver: string
  /** The process of the owner, for an actor that is local to it. */
  readonly local: WorkerPlace | undefined
  readonly directory: DirectoryId | undefined
  readonly watchers: Set<Peer>
  /** Called when it has got a process, or died. */
  readonly awaited: (() => void)[]
  /** The node it would best be on. */
  readonly preferred: string | undefined
  state: 'starting' | 'alive' | 'restarting'
  /** Its part of its node; undefined while it waits for that. */
  grant: Grant | undefined
  worker: WorkerProcess | undefined
  restarts: number
  /** The number of restarts that it may have. */
  allowed: number
  /** Whether it is ended only to be restarted with the rest of its mesh. */
  isJoining: boolean
  /** Whether the head has constructed it, in a restart. */
  isConstructed: boolean
  /** Its last death. */
  death: Death | undefined
  /** The reason why it is about to end for good, when that is known before its process ends. */
  ending: string | undefined
  failedBroadcasts: number
}

/** The record by which others know an actor that has a process. */
export function recordOf(actor: Actor): ActorRecord {
  const { id, name, worker, restarts, request } = actor
  const { maxRestarts, maxTaskRetries, maxPendingCalls } = request
  const { pid, address } = worker!
  return {
    id,
    name,
    pid,
    address,
    methods: request.actorClass.methods,
    generators: request.actorClass.generators,
    restarts,
    restartable: maxRestarts > 0 || request.isSupervised,
    maxTaskRetries,
    maxPendingCalls,
  }
}

/** The failure that others are told of when an actor dies. */
export function failureOf({ id, name, request, restarts }: Actor, { reason, lines = [] }: Death): ActorFailure {
  return { id, name, className: request.actorClass.className, restarts, reason, lines }
}

/** The state of an actor, as those that watch it are told. */
export function stateOf(actor: Actor): ActorState {
  if (actor.state === 'restarting' || !actor.worker) {
    return { state: 'restarting', death: actor.death ?? { reason: 'its process has not started yet' } }
  }
  return { state: 'alive', record: recordOf(actor) }
}
