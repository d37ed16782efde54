import type { ProcessAddress } from '../transport/connection-manager.js'
import type { Resources } from './resources.js'

/** A bundle of a placement group. */
export interface BundlePlace {
  readonly group: string
  readonly index: number
}

/** The strategy that lays the bundles of a placement group over the nodes. */
export type PlacementStrategy = 'PACK' | 'SPREAD' | 'STRICT_PACK' | 'STRICT_SPREAD'

/** A request to reserve the resources of a placement group. */
export interface GroupRequest {
  readonly id: string
  readonly bundles: readonly Resources[]
  readonly strategy: PlacementStrategy
}

/** A placement group, as `cluster.placementGroups()` lists it. */
export interface GroupInfo {
  readonly id: string
  readonly bundles: readonly { readonly nodeId: string; readonly resources: Resources; readonly free: Resources }[]
}

/** Needs of an actor or a task: its resources, and where it may be. */
export interface PlaceRequest {
  readonly resources: Resources
  readonly nodeId?: string | undefined
  readonly labels?: Readonly<Record<string, string>> | undefined
  /** Members of a mesh are dealt over the bundles from this one on. */
  readonly bundle?: BundlePlace | undefined
  readonly bundles?: number | undefined
}

/** A request for a worker to run tasks on. */
export interface LeaseRequest extends PlaceRequest {
  readonly what: string
  /** The module and the name of the function whose tasks run on the worker. */
  readonly method: string
  /** Milliseconds of running that the import of the module may take. */
  readonly startTimeout: number
}

/** A worker that a process may run tasks on until it gives it back. */
export interface Lease {
  readonly id: string
  readonly address: ProcessAddress
}

/** The declaration of a node that joins. */
export interface NodeDeclaration {
  readonly host: string
  readonly pid: number
  readonly cpus: number
  readonly resources: Resources
  readonly labels: Readonly<Record<string, string>>
}

/** A node, as `cluster.nodes()` lists it. */
export interface NodeInfo {
  readonly id: string
  readonly host: string
  readonly pid: number
  readonly cpus: number
  /** The number of actors that live on it. */
  readonly actors: number
  readonly resources: Resources
  readonly free: Resources
  readonly labels: Readonly<Record<string, string>>
}
