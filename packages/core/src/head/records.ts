import type { DirectoryId } from '../protocol/directory-id.js'
import type { NodeService } from '../protocol/services.js'
import type { Remote } from '../transport/control.js'
import type { ResourcePool } from './resource-pool.js'
import type { WorkerPlace } from './worker-pool.js'

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
  /** Where its local actors are. */
  readonly place: WorkerPlace
  /** Whether it has ended; what it had asked for by then is nobody's. */
  isGone: boolean
}
