import type { StoreHandle } from '@troupe/native'
import type { ActorFailure, Decision } from '../common/hooks.js'
import type { ProcessAddress, Receipts } from '../transport/connection-manager.js'
import type { PeerIdentity } from '../transport/link.js'
import type { Sealed } from '../transport/sealed.js'
import type {
  ActorRecord,
  ActorSpec,
  ActorState,
  Death,
  Spawned,
  SpawnRequest,
  WaitingCall,
  WorkerFolders,
  WorkerSpec,
} from './actor.js'
import type { DirectoryId } from './directory-id.js'
import type { ActorInfo, ActorStack, Inventory, ObjectInfo, Stack, TaskInfo } from './listing.js'
import type { Outcome } from './location.js'
import type { GroupInfo, GroupRequest, Lease, LeaseRequest, NodeDeclaration, NodeInfo } from './placement.js'

/** The identity of a cluster and of its head, for processes that join. */
export interface ClusterInfo {
  readonly clusterId: string
  readonly head: ProcessAddress
  /** The store of the head's node, for processes that are on it. */
  readonly store: StoreHandle
}

/** Requests of the head, one of which comes first on every connection. */
export interface JoinService {
  /** Must come first on a driver's connection. */
  joinDriver(driver: { namespace?: string | undefined }): ClusterInfo
  /** Must come first on a node agent's connection. */
  joinNode(node: NodeDeclaration): ClusterInfo
  /** Must come first on a worker's connection; its process is ready for work. */
  joinWorker(worker: { pid: number; tcp?: string | undefined }): void
}

/** Requests of the head about actors. */
export interface ActorService {
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
  /** Tells that an actor's death is known to somebody: a call that was awaited failed for that. */
  noticed(actorId: string): void
  /** Tells of the failure of a call that its caller does not wait for. */
  broadcastFailed(actor: Pick<ActorRecord, 'id' | 'name'>, text: string): void
}

/** Requests of the head about workers that run tasks. */
export interface TaskService {
  /** Gives a worker to run tasks on. */
  lease(request: LeaseRequest): Promise<Lease>
  /** Takes a worker back; returns why it ended, if it was lost. */
  endLease(id: string, how: 'idle' | 'busy' | 'lost'): Promise<Death | undefined>
  /** Starts workers for tasks that are to come. */
  prestart(): void
}

/** Requests of the head about refs that a process holds. */
export interface RefService {
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
}

/** Requests of the head about placement groups. */
export interface PlacementService {
  /** Reserves resources together; returns the node of each bundle. */
  reserve(request: GroupRequest): Promise<string[]>
  /** Ends who runs in a placement group, and gives its resources back. */
  removeGroup(id: string): Promise<void>
}

/** Requests of the head by which members of a group find each other. */
export interface RendezvousService {
  /** Gives a value to the members of a meeting, and waits for theirs, in rank order. */
  meet(id: string, rank: number, size: number, value: unknown): Promise<unknown[]>
  /** Ends a meeting for all who wait. */
  leaveMeeting(id: string, reason: string): void
}

/** Requests of the head for lists of the cluster's parts. */
export interface ListingService {
  nodes(): NodeInfo[]
  actors(): ActorInfo[]
  tasks(): Promise<TaskInfo[]>
  objects(): Promise<ObjectInfo[]>
  groups(): GroupInfo[]
  /** The latest lines that an actor, or the tasks of a function, wrote. */
  logs(name: string): string[]
  /** The stack of an actor's process; the actor goes by its name or its id. */
  stack(actor: string): Promise<ActorStack>
}

/** Requests that a driver makes of the head about itself. */
export interface DriverSession {
  /** Ends what a driver owns, and the whole cluster if the driver owns that. */
  leave(): Promise<void>
  /** Whether a driver is to send its working directory, because the head does not have it. */
  offerDirectory(id: DirectoryId): Promise<boolean>
  /** Sends a part of its archive; the parts are appended in the order they come. */
  sendDirectory(id: DirectoryId, bytes: Uint8Array): Promise<void>
  /** Has the actors and tasks of the driver run in it from here on. */
  enterDirectory(id: DirectoryId): Promise<void>
}

/** Requests that a worker makes of the head about itself. */
export interface WorkerSession {
  /** Tells that the worker's actor has an onStop. */
  mustFinish(): void
  /** Tells that the worker is about to end by request, when its actor's onStop has run. */
  stopping(): void
  /** Tells that the onStop has run. */
  finished(): void
  /** Tells that the worker, which could not be spared, holds nothing any more that others need. */
  spare(): void
  /**
   * Tells that the worker has imported the module of its actor, or of a function whose tasks it is to run, or has failed to.
   */
  imported(what: string): void
  /** Tells that the worker is about to end because of an error that no call can report. */
  failing(error: unknown): void
  /** Lends the resources of the worker's task, which waits for others; returns the id of its lease. */
  blocked(): string | undefined
  /** Takes the resources back for the task, which goes on. */
  unblocked(lease: string): void
}

/** Requests that a node agent makes of the head about itself. */
export interface NodeSession {
  /** Tells that the node is about to leave; resolves when the actors on it have run their onStop. */
  finishNode(): Promise<void>
  /** Reads a part of a working directory's archive; empty at its end. */
  readDirectory(id: DirectoryId, offset: number): Promise<Uint8Array>
}

/** Requests that every driver and worker makes of the head. */
export interface ClusterService
  extends ActorService,
    TaskService,
    RefService,
    PlacementService,
    RendezvousService,
    ListingService {}

/** Requests that the head makes of a node agent. */
export interface NodeService {
  startWorker(spec: WorkerSpec): void
  /** Resolves when the process has ended. */
  endWorker(processId: string): Promise<void>
  stackOf(processId: string): Promise<Stack>
  /** Milliseconds that a worker's process has had to run; undefined where that is not known, as of one that has ended. */
  hadToRun(processId: string): number | undefined
  /** Gets a working directory, if the node does not have it, and tells where it is. */
  prepareDirectory(id: DirectoryId): Promise<string>
  /** Removes a working directory that nobody uses any more. */
  dropDirectory(id: DirectoryId): Promise<void>
}

/** Requests that the head makes of every process that can own something. */
export interface InventoryService {
  inventory(): Promise<Inventory>
  /** Collects garbage; resolves when what was collected has been given back to the store. */
  collect(): Promise<void>
}

/** Requests that the head makes of a worker, beside {@link InventoryService}. */
export interface WorkerService {
  /** Makes it the process of an actor. */
  become(actor: ActorSpec): void
  /** Decides, with its actor, about an actor that this one spawned; undefined if it decides on none. */
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

/** Requests of a worker by processes that connect to it: the first by the one that spawned its actor. */
export interface ConstructionService {
  construct(args: unknown[]): Promise<void>
  /**
   * The path from a request of the caller's to a call that waits for a turn in a semaphore on the path to it, if there is
   * one.
   */
  circleOf(request: number, path: readonly WaitingCall[]): Promise<WaitingCall[] | undefined>
}

/** A ref's value or where it lives, from a driver; the driver keeps what is in it until it has been opened. */
export interface SealedOutcome {
  readonly sealed: Sealed
  /** The number to give back when the value has been opened; undefined if nothing has to be kept. */
  readonly pin: number | undefined
}

/** Requests that processes which hold refs make of the refs' owner. */
export interface OwnerService {
  hold(id: string): void
  release(id: string): void
  /** `lost` names a process where the value could not be reached. */
  fetch(id: string, lost?: string): Promise<Outcome>
}

/** Requests that the head makes of a driver, also for others, which cannot connect to it. */
export interface DriverService extends InventoryService {
  holdFor(id: string, holder: string): void
  releaseFor(id: string, holder: string): void
  /** Gives the value, or where it is, sealed for a process. */
  fetchSealed(id: string, holder: PeerIdentity, lost?: string): Promise<SealedOutcome>
  /** Drops what it has kept for a sealed outcome, which has been opened. */
  opened(pin: number): void
  holderGone(holder: string): void
  supervise(failure: ActorFailure): Promise<Decision | undefined>
  /** Tells of a failure that nobody has handled, of an actor that the driver, or one that it spawned, owned. */
  unhandled(failure: ActorFailure): void
}

/** Requests of a process by those that it connected to. */
export interface CallerService extends Receipts {
  /** Brings over results of calls that the process holds, which is about to end. Resolves when they have come. */
  bring(results: readonly string[]): Promise<void>
}

/** Requests that the head makes of every process, for the actors that are to live in its own thread. */
export interface LocalActorService {
  startLocal(processId: string): Promise<void>
}

/** Notices that the head sends without being asked. */
export interface HeadEvents {
  actorChanged(actorId: string, state: ActorState): void
  /** Whether a call that is awaited in the process fails for the death of an actor; resolves when it does, or could have. */
  noticesDeath(actorId: string): Promise<boolean>
  /** A line of a worker's output, with what stands before it. */
  log(line: string): void
}

/** Notices that a node agent sends to the head without being asked. */
export interface NodeEvents {
  exited(processId: string, death: Death): void
  log(processId: string, line: string): void
}
