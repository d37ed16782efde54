import type { ProcessAddress } from '../transport/switchboard.js'

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
}

/** One actor of a spawn request. */
export interface MemberRequest {
  readonly coordinates?: Coordinates
  readonly rank?: number
}

/** What a spawn asks the head for. */
export interface SpawnRequest {
  readonly actorClass: ActorClass
  /** The actor's name; left out, the head numbers the class's actors, and a mesh's members carry their coordinates. */
  readonly name?: string | undefined
  readonly members: MemberRequest[]
  readonly dimensions?: Dimensions | undefined
  /** The node the actors must be placed on. */
  readonly nodeId?: string | undefined
  /** Environment variables beside those of the node. */
  readonly env?: Readonly<Record<string, string>> | undefined
}

/** What a node agent needs to start a worker. */
export interface WorkerSpec extends MemberRequest {
  readonly processId: string
  readonly actorId: string
  readonly name: string
  readonly actorClass: ActorClass
  readonly dimensions?: Dimensions | undefined
  readonly env?: Readonly<Record<string, string>> | undefined
}

/** A node, as `cluster.nodes()` lists it. */
export interface NodeInfo {
  readonly id: string
  readonly host: string
  readonly pid: number
  readonly cpus: number
  /** How many actors live on it. */
  readonly actors: number
}

/** How a cluster and its head are known to the processes that join. */
export interface ClusterInfo {
  readonly clusterId: string
  readonly head: ProcessAddress
}

/** What the head serves to every process that has joined. */
export interface HeadRequests {
  /** Must come first on a driver's connection. */
  joinDriver(): ClusterInfo
  /** Must come first on a node agent's connection. */
  joinNode(node: { host: string; pid: number; cpus: number }): ClusterInfo
  /** Must come first on a worker's connection; its process is ready to construct its actor. */
  joinWorker(worker: { pid: number; tcp?: string | undefined }): void
  spawn(request: SpawnRequest): Promise<ActorRecord[]>
  /** Asks to be told when an actor dies; returns why it did if it is dead. */
  watch(actorId: string): string | undefined
  /** Ends an actor; resolves when its process has ended. */
  end(actorId: string, reason: string): Promise<void>
  /** A worker is about to end by request. */
  stopping(): void
  nodes(): NodeInfo[]
  /** Ends what a driver owns, and the whole cluster if the driver owns that. */
  leave(): Promise<void>
}

/** What a node agent serves to the head. */
export interface NodeRequests {
  startWorker(spec: WorkerSpec): void
  /** Resolves when the process has ended. */
  endWorker(processId: string): Promise<void>
}

/** What a worker serves to the process that spawned its actor. */
export interface WorkerRequests {
  construct(args: unknown[]): Promise<void>
}

/** The method that stops an actor: no method of a class has this name, and as a call it keeps its place in the order. */
export const STOP = ''

/** What the head tells without being asked. */
export interface HeadNotices {
  actorDied(actorId: string, reason: string): void
  log(name: string, line: string): void
}

/** What a node agent tells the head without being asked. */
export interface NodeNotices {
  exited(processId: string, reason: string): void
  log(processId: string, line: string): void
}
