import type { StoreHandle } from '@troupe/native'
import type { ActorFailure, Decision } from '../common/hooks.js'
import type { PeerIdentity } from '../transport/link.js'
import type { Sealed } from '../transport/sealed.js'
import type { ProcessAddress, Receipts } from '../transport/switchboard.js'
import type { DirectoryId } from './directory-id.js'
import type { Outcome } from './location.js'
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
  /** The methods that the class has, beside those that instances may keep in fields. */
  readonly methods: readonly string[]
  /** The methods that are generators: calls of them give a stream, never a ref. */
  readonly generators: readonly string[]
}

/** What every process may know about an actor; a handle travels as this. */
export interface ActorRecord {
  readonly id: string
  readonly name: string
  readonly pid: number
  readonly address: ProcessAddress
  readonly methods: readonly string[]
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
  /** Whether trying at once again would not change it: its node could start no process at all, or a module does not get imported. */
  readonly isRefused?: boolean | undefined
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

/**
 * What an actor shares with others: nothing (`process`), a process with threads that were started alike (`thread`), or the
 * thread of the process that spawned it (`local`).
 */
export type Isolation = 'process' | 'thread' | 'local'

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
  /** Why it died last. */
  readonly reason?: string | undefined
  /** How many calls of it failed that their callers do not wait for: those of `mesh.broadcast`. */
  readonly failedBroadcasts: number
}

/** A process of the cluster, in the lists of what it owns. */
export interface ProcessInfo {
  /** The name of its actor or of the function of its task; `driver` for a driver. */
  readonly name: string
  /** 0 where it is not known. */
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
  /** Where it runs; 0 and empty before. */
  readonly pid: number
  readonly nodeId: string
  /** Who called it. */
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

/** What a process tells of what it owns. */
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

/** What the main thread of a process does. */
export interface Stack {
  /** `idle`: it runs no JavaScript. `blocked`: it is in native code or a system call, and lets nobody look. */
  readonly state: 'running' | 'idle' | 'blocked'
  /** Its calls, the innermost first. */
  readonly frames: readonly string[]
}

/** The stack of an actor's process, as `cluster.stack()` gives it. */
export interface ActorStack extends Stack, ProcessInfo {}

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
  readonly isolation: Isolation
  readonly settings: ProcessSettings
  /** What stands before each line of its output; left out, its name. */
  readonly logPrefix?: string | undefined
  readonly concurrency: Concurrency
  /** Milliseconds that its process may take to start, and then the import of its module. */
  readonly startTimeout: number
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
  /** Whether it is constructed already: it lived before, or was restarted before the spawn was answered. */
  readonly isConstructed: boolean
  /** Whether it lived before. */
  readonly existed: boolean
}

/** What a node agent needs to start a worker. */
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

/** What a worker needs to become an actor. */
export interface ActorSpec extends MemberRequest {
  readonly actorId: string
  readonly name: string
  readonly actorClass: ActorClass
  readonly concurrency: Concurrency
  readonly dimensions?: Dimensions | undefined
  readonly gpus: readonly number[]
  /** What its own handle stands for. */
  readonly record: ActorRecord
  /** Whether those that own it decide about actors that it spawns. */
  readonly isSupervised: boolean
  readonly folders?: WorkerFolders | undefined
}

/** Where a worker is to be, if its driver has a working directory. */
export interface WorkerFolders {
  /** Where the working directory is on its node. */
  readonly root: string
  /** The folder to work in. */
  readonly cwd: string
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
export interface HeadService {
  /** Must come first on a driver's connection. */
  joinDriver(driver: { namespace?: string | undefined }): ClusterInfo
  /** Must come first on a node agent's connection. */
  joinNode(node: NodeDeclaration): ClusterInfo
  /** Must come first on a worker's connection; its process is ready for work. */
  joinWorker(worker: { pid: number; tcp?: string | undefined }): void
  spawn(request: SpawnRequest): Promise<Spawned[]>
  /** The living actor of a name; one that starts is waited for. */
  lookUp(name: string, namespace?: string): Promise<ActorRecord | undefined>
  /**
   * Asks to be told what becomes of an actor; returns how it is now.
   *
   * @param lost a process of the actor that the connection with broke: whether that lives is made sure of
   */
  watch(actorId: string, lost?: string): ActorState | Promise<ActorState>
  /** Ends an actor for good; resolves when its process has ended. */
  end(actorId: string, reason: string): Promise<void>
  /** The actor of a worker has an onStop. */
  mustFinish(): void
  /** A worker is about to end by request, when its actor's onStop has run. */
  stopping(): void
  /** That has run. */
  finished(): void
  /** A node is about to leave; resolves when the actors on it have run their onStop. */
  finishNode(): Promise<void>
  /** Somebody has learned that an actor died: a call that was awaited failed for that. */
  noticed(actorId: string): void
  /** A call of an actor failed that its caller does not wait for. */
  broadcastFailed(actor: Pick<ActorRecord, 'id' | 'name'>, text: string): void
  /** A worker that could not be spared holds nothing any more that others need. */
  spare(): void
  /** A worker has imported the module of its actor, or of a function whose tasks it is to run, or has failed to. */
  imported(what: string): void
  /** A worker is about to end because of an error that no call can report. */
  failing(error: unknown): void
  /** Gives a worker to run tasks on. */
  lease(request: LeaseRequest): Promise<Lease>
  /** Takes a worker back; returns why it ended, if it was lost. */
  endLease(id: string, how: 'idle' | 'busy' | 'lost'): Promise<Death | undefined>
  /** The task that the asking worker runs waits for others, and lends its resources; returns the id of its lease. */
  blocked(): string | undefined
  /** It goes on. */
  unblocked(lease: string): void
  /** Asks a driver that owns a ref, as {@link OwnerService} does a worker. */
  askDriver(driver: string, what: 'hold' | 'release', id: string): Promise<void>
  fetchFromDriver(driver: string, id: string, lost?: string): Promise<SealedOutcome>
  /** Tells a driver that what it sealed has been opened. */
  openedFromDriver(driver: string, pin: number): void
  /**
   * Has the processes with these ids on the asker's node collect garbage, and its drivers. Resolves when they have, or after a
   * second.
   */
  reclaim(pids: readonly number[]): Promise<void>
  /** Starts workers for tasks that are to come. */
  prestart(): void
  /** Reserves resources together; returns the node of each bundle. */
  reserve(request: GroupRequest): Promise<string[]>
  /** Ends who runs in a placement group, and gives its resources back. */
  removeGroup(id: string): Promise<void>
  /** Gives a value to the members of a meeting, and waits for theirs, in rank order. */
  meet(id: string, rank: number, size: number, value: unknown): Promise<unknown[]>
  /** Ends a meeting for all who wait. */
  leaveMeeting(id: string, reason: string): void
  nodes(): NodeInfo[]
  actors(): ActorInfo[]
  tasks(): Promise<TaskInfo[]>
  objects(): Promise<ObjectInfo[]>
  groups(): GroupInfo[]
  /** The latest lines that an actor, or the tasks of a function, wrote. */
  logs(name: string): string[]
  /** What the process of an actor does; the actor goes by its name or its id. */
  stack(actor: string): Promise<ActorStack>
  /** Ends what a driver owns, and the whole cluster if the driver owns that. */
  leave(): Promise<void>
  /** Whether a driver is to send its working directory, because the head does not have it. */
  offerDirectory(id: DirectoryId): Promise<boolean>
  /** A part of it; the parts are appended in the order they come. */
  sendDirectory(id: DirectoryId, bytes: Uint8Array): Promise<void>
  /** From here on the actors and tasks of the driver run in it. */
  enterDirectory(id: DirectoryId): Promise<void>
  /** A part of its archive for a node; empty at its end. */
  readDirectory(id: DirectoryId, offset: number): Promise<Uint8Array>
}

/** What a node agent serves to the head. */
export interface NodeService {
  startWorker(spec: WorkerSpec): void
  /** Resolves when the process has ended. */
  endWorker(processId: string): Promise<void>
  stackOf(processId: string): Promise<Stack>
  /** Milliseconds that a worker's process has had to run; undefined where that is not known, as of one that has ended. */
  hadToRun(processId: string): number | undefined
  /** Gets a working directory, if the node does not have it, and tells where it is. */
  prepareDirectory(id: DirectoryId): Promise<string>
  /** Nobody uses a working directory any more. */
  dropDirectory(id: DirectoryId): Promise<void>
}

/** What every process that can own something serves to the head. */
export interface InventoryService {
  inventory(): Promise<Inventory>
  /** Collects garbage; resolves when what was collected has been given back to the store. */
  collect(): Promise<void>
}

/** What a worker serves to the head, beside {@link InventoryService}. */
export interface WorkerService {
  /** Makes it the process of an actor. */
  become(actor: ActorSpec): void
  /** What its actor decides about one that it spawned; undefined if it decides on none. */
  supervise(failure: ActorFailure): Promise<Decision | undefined>
  /** Makes it run tasks of a function, on these GPUs; returns whether it has imported the module of that already. */
  equip(gpus: readonly number[], folders: WorkerFolders | undefined, method: string): boolean
  /** Resolves when no task runs. */
  idle(): Promise<true>
  /** Says that it lives. */
  answer(): void
  /** Whether it holds nothing that others need; if it does, it tells the head when that has changed. */
  isSpare(): boolean
  /** Runs the onStop of its actor, before it is ended. */
  finish(): Promise<void>
  /** Constructs an actor anew after a death. */
  reconstruct(args: Sealed, restarts: number, reason: string): Promise<void>
  /** Ends a worker that is no process or thread of its own. */
  leave(): void
}

/** What a worker serves to those that connect to it: the first to the process that spawned its actor. */
export interface ConstructionService {
  construct(args: unknown[]): Promise<void>
  /** The way from a request of the caller's to a call that waits for a turn in a lane on the way to it, if there is one. */
  circleOf(request: number, way: readonly WaitingCall[]): Promise<WaitingCall[] | undefined>
}

/** A ref's value or where it lives, from a driver; the driver keeps what is in it until it has been opened. */
export interface SealedOutcome {
  readonly sealed: Sealed
  /** Undefined where nothing has to be kept. */
  readonly pin: number | undefined
}

/** What the owner of refs serves to the processes that hold some of them. */
export interface OwnerService {
  hold(id: string): void
  release(id: string): void
  /** `lost` names a process where the value could not be reached. */
  fetch(id: string, lost?: string): Promise<Outcome>
}

/** The same for a driver, which others cannot connect to: the head asks it for them. */
export interface DriverService extends InventoryService {
  holdFor(id: string, holder: string): void
  releaseFor(id: string, holder: string): void
  /** Gives the value, or where it is, sealed for a process. */
  fetchSealed(id: string, holder: PeerIdentity, lost?: string): Promise<SealedOutcome>
  /** What was sealed has been opened. */
  opened(pin: number): void
  holderGone(holder: string): void
  supervise(failure: ActorFailure): Promise<Decision | undefined>
  /** Nobody has handled the failure of an actor that the driver, or one that it spawned, owned. */
  unhandled(failure: ActorFailure): void
}

/** What a process serves to those that it connected to. */
export interface CallerService extends Receipts {
  /** The process is about to end, and holds these results of calls. Resolves when they have been brought over. */
  bring(results: readonly string[]): Promise<void>
}

/** What every process serves to the head, for the actors that are to live in its own thread. */
export interface LocalActorService {
  startLocal(processId: string): Promise<void>
}

/** The target of calls that run tasks; their method is the module and the export of the function. */
export const TASK = 'task'
/** The same for functions whose results are several values in an array. */
export const TASK_OF_SEVERAL = 'tasks'

/** The method that stops an actor: no method of a class has this name, and as a call it keeps its place in the order. */
export const STOP = ''

/** Milliseconds that an actor's onStop may take. */
export const STOP_TIMEOUT = 5000

/** What the head tells without being asked. */
export interface HeadEvents {
  actorChanged(actorId: string, state: ActorState): void
  /** Whether a call that is awaited in the process fails for the death of an actor; resolves when it does, or could have. */
  noticesDeath(actorId: string): Promise<boolean>
  /** A line of a worker's output, with what stands before it. */
  log(line: string): void
}

/** What a node agent tells the head without being asked. */
export interface NodeEvents {
  exited(processId: string, death: Death): void
  log(processId: string, line: string): void
}

/** A call that waits: on the way from one to what it waits for in the end. */
export interface WaitingCall {
  /** What the call is in messages: `Counter#1.add`. */
  readonly label: string
  /** The lane that it waits for a turn in, and its number among those that do; undefined for a call that runs. */
  readonly lane?: string | undefined
  readonly number?: number | undefined
}
