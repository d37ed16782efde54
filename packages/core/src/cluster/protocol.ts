import type { StoreHandle } from '@troupe/native'
import type { ActorFailure, Decision } from '../api/hooks.js'
import type { Sealed } from '../transport/sealed.js'
import type { ProcessAddress } from '../transport/switchboard.js'
import type { Resources } from './resources.js'

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
  /** The methods that are generators: calls of them give a stream, never a ref. */
  readonly generators: readonly string[]
}

/** What every process may know about an actor; a handle travels as this. */
export interface ActorRecord {
  readonly id: string
  readonly name: string
  readonly pid: number
  readonly address: ProcessAddress
  readonly generators: readonly string[]
  /** How often it has been restarted; the larger of two records of an actor is the newer one. */
  readonly restarts: number
  /** Whether it can come back from a death, so that an old record may name a process that has gone. */
  readonly restartable: boolean
  readonly maxTaskRetries: number
  readonly maxPendingCalls: number
}

/** Why a process or an actor has ended. */
export interface Death {
  readonly reason: string
  /** The last lines on its stderr. */
  readonly lines?: readonly string[] | undefined
  /** What it threw outside of a call, or what its constructor threw in a restart. */
  readonly cause?: unknown
}

/** How an actor is, as the head knows it. */
export type ActorState =
  | { readonly state: 'alive'; readonly record: ActorRecord }
  | { readonly state: 'restarting'; readonly death: Death }
  | { readonly state: 'dead'; readonly death: Death }

/** A group of methods with a limit of their own. */
export interface ConcurrencyGroup {
  readonly limit: number
  readonly methods: readonly string[]
}

/** How many calls of an actor may run at a time: those in no group share `limit`. */
export interface Concurrency {
  readonly limit: number
  readonly groups: readonly ConcurrencyGroup[]
}

/** What a process is started with beside what its node gives it. */
export interface ProcessSettings {
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly nodeFlags?: readonly string[] | undefined
  readonly cwd?: string | undefined
}

/** One actor of a spawn request. */
export interface MemberRequest {
  readonly coordinates?: Coordinates
  readonly rank?: number
}

/** A bundle of a placement group. */
export interface BundlePlace {
  readonly group: string
  readonly index: number
}

/** How the bundles of a placement group are laid over the nodes. */
export type PlacementStrategy = 'PACK' | 'SPREAD' | 'STRICT_PACK' | 'STRICT_SPREAD'

/** What a placement group asks the head for. */
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

/** What an actor or a task needs, and where it may be. */
export interface PlaceRequest {
  readonly resources: Resources
  readonly nodeId?: string | undefined
  readonly labels?: Readonly<Record<string, string>> | undefined
  /** Members of a mesh are dealt over the bundles from this one on. */
  readonly bundle?: BundlePlace | undefined
  readonly bundles?: number | undefined
}

/** What running tasks asks the head for. */
export interface LeaseRequest extends PlaceRequest {
  readonly what: string
}

/** A worker that a process may run tasks on until it gives it back. */
export interface Lease {
  readonly id: string
  readonly address: ProcessAddress
}

/** An actor, as `cluster.actors()` lists it. */
export interface ActorInfo {
  readonly id: string
  readonly name: string
  readonly namespace: string
  readonly className: string
  readonly state: 'starting' | 'alive' | 'restarting' | 'dead'
  readonly pid: number
  readonly nodeId: string
  readonly restarts: number
  readonly resources: Resources
  /** Why it died last. */
  readonly reason?: string | undefined
}

/** A task that runs, as `cluster.tasks()` lists it. */
export interface TaskInfo {
  readonly name: string
  readonly pid: number
  readonly nodeId: string
}

/** What a node declares when it joins. */
export interface NodeDeclaration {
  readonly host: string
  readonly pid: number
  readonly cpus: number
  readonly resources: Resources
  readonly labels: Readonly<Record<string, string>>
}

/** What a spawn asks the head for. */
export interface SpawnRequest {
  readonly actorClass: ActorClass
  /** The actor's name; left out, the head numbers the class's actors, and a mesh's members carry their coordinates. */
  readonly name?: string | undefined
  /** Where the name is looked up; left out, the namespace of the process that asks. */
  readonly namespace?: string | undefined
  /** Whether to return the actor of that name where there is one. */
  readonly getIfExists?: boolean | undefined
  /** Whether it outlives its driver. */
  readonly detached?: boolean | undefined
  readonly members: MemberRequest[]
  readonly dimensions?: Dimensions | undefined
  readonly place: PlaceRequest
  readonly settings: ProcessSettings
  readonly concurrency: Concurrency
  readonly maxRestarts: number
  /** Whether somebody decides on restarts beyond those. */
  readonly isSupervised: boolean
  /** What the death of a member of a mesh means for the others. */
  readonly strategy: 'one-for-one' | 'all-for-one'
  readonly maxTaskRetries: number
  readonly maxPendingCalls: number
  /** The constructors' arguments by member, for restarts. */
  readonly creation?: readonly Sealed[] | undefined
}

/** What a spawn gives. */
export interface Spawned {
  readonly record: ActorRecord
  /** Whether it lived already, and is not to be constructed. */
  readonly existed: boolean
}

/** What a node agent needs to start a worker. */
export interface WorkerSpec extends ProcessSettings {
  readonly processId: string
}

/** What a worker needs to become an actor. */
export interface ActorSpec extends MemberRequest {
  readonly actorId: string
  readonly name: string
  readonly actorClass: ActorClass
  readonly concurrency: Concurrency
  readonly dimensions?: Dimensions | undefined
  readonly gpus: readonly number[]
}

/** A node, as `cluster.nodes()` lists it. */
export interface NodeInfo {
  readonly id: string
  readonly host: string
  readonly pid: number
  readonly cpus: number
  /** How many actors live on it. */
  readonly actors: number
  readonly resources: Resources
  readonly free: Resources
  readonly labels: Readonly<Record<string, string>>
}

/** How a cluster and its head are known to the processes that join. */
export interface ClusterInfo {
  readonly clusterId: string
  readonly head: ProcessAddress
  /** The store of the head's node, for processes that are on it. */
  readonly store: StoreHandle
}

/** What the head serves to every process that has joined. */
export interface HeadRequests {
  /** Must come first on a driver's connection. */
  joinDriver(driver: { namespace?: string | undefined }): ClusterInfo
  /** Must come first on a node agent's connection. */
  joinNode(node: NodeDeclaration): ClusterInfo
  /** Must come first on a worker's connection; its process is ready for work. */
  joinWorker(worker: { pid: number; tcp?: string | undefined }): void
  spawn(request: SpawnRequest): Promise<Spawned[]>
  /** The living actor of a name. */
  lookUp(name: string, namespace?: string): ActorRecord | undefined
  /** Asks to be told what becomes of an actor; returns how it is now. */
  watch(actorId: string): ActorState | Promise<ActorState>
  /** Ends an actor for good; resolves when its process has ended. */
  end(actorId: string, reason: string): Promise<void>
  /** A worker is about to end by request. */
  stopping(): void
  /** A worker is about to end because of an error that no call can report. */
  failing(error: unknown): void
  /** Gives a worker to run tasks on. */
  lease(request: LeaseRequest): Promise<Lease>
  /** Takes a worker back; returns why it ended, if it was lost. */
  endLease(id: string, how: 'idle' | 'busy' | 'lost'): Promise<Death | undefined>
  /** Asks a driver that owns a ref, as {@link OwnerRequests} does a worker; a value comes sealed. */
  askDriver(driver: string, what: 'hold' | 'release' | 'fetch', id: string): Promise<Sealed | undefined>
  /** Starts workers for tasks that are to come. */
  prestart(): void
  /** Reserves resources together; returns the node of each bundle. */
  reserve(request: GroupRequest): Promise<string[]>
  /** Ends who runs in a placement group, and gives its resources back. */
  removeGroup(id: string): Promise<void>
  nodes(): NodeInfo[]
  actors(): ActorInfo[]
  tasks(): TaskInfo[]
  groups(): GroupInfo[]
  /** The latest lines that an actor, or the tasks of a function, wrote. */
  logs(name: string): string[]
  /** Ends what a driver owns, and the whole cluster if the driver owns that. */
  leave(): Promise<void>
}

/** What a node agent serves to the head. */
export interface NodeRequests {
  startWorker(spec: WorkerSpec): void
  /** Resolves when the process has ended. */
  endWorker(processId: string): Promise<void>
}

/** What a worker serves to the head. */
export interface WorkerDuties {
  /** Makes it the process of an actor. */
  become(actor: ActorSpec): void
  /** What its actor decides about one that it spawned; undefined if it decides on none. */
  supervise(failure: ActorFailure): Promise<Decision | undefined>
  /** Makes it run tasks, on these GPUs. */
  equip(gpus: readonly number[]): void
  /** Resolves when no task runs. */
  idle(): Promise<true>
  /** Constructs an actor anew after a death. */
  reconstruct(args: Sealed, restarts: number, reason: string): Promise<void>
}

/** What a worker serves to the process that spawned its actor. */
export interface WorkerRequests {
  construct(args: unknown[]): Promise<void>
}

/** What the owner of refs serves to the processes that hold some of them. */
export interface OwnerRequests {
  hold(id: string): void
  release(id: string): void
  fetch(id: string): Promise<unknown>
}

/** The same for a driver, which others cannot connect to: the head asks it for them. */
export interface DriverDuties {
  holdFor(id: string, holder: string): void
  releaseFor(id: string, holder: string): void
  fetchSealed(id: string): Promise<Sealed>
  holderGone(holder: string): void
  supervise(failure: ActorFailure): Promise<Decision | undefined>
}

/** The target of calls that run tasks; their method is the module and the export of the function. */
export const TASK = 'task'

/** The method that stops an actor: no method of a class has this name, and as a call it keeps its place in the order. */
export const STOP = ''

/** What the head tells without being asked. */
export interface HeadNotices {
  actorChanged(actorId: string, state: ActorState): void
  log(name: string, line: string): void
}

/** What a node agent tells the head without being asked. */
export interface NodeNotices {
  exited(processId: string, death: Death): void
  log(processId: string, line: string): void
}
