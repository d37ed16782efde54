/** What another process of this host needs to map a shared storage. */
export interface SharedMemoryHandle {
  pid: number
  fd: number
  name: string
  bytes: number
  /** Which object of a store it is; undefined for memory of its own. */
  stored?: { index: number; generation: number; bytes: number }
  /** The store's spill file, or -1; of objects and stores only. */
  spillFd?: number
}

/** What another process of this host opens a store by. */
export type StoreHandle = SharedMemoryHandle & { spillFd: number }

/**
 * Memory that the processes of a host share values in. Who opens it can map the objects of others; objects that no process
 * holds are freed, also when a process is killed, and those that no process has mapped are spilled when memory runs short.
 */
export class Store {
  /** Makes a store. `diskBytes` is how much may be spilled, into a file without a name in `spillFolder`. */
  constructor(options: { memoryBytes: number; diskBytes: number; spillFolder: string })
  /** Opens a store of another process. Throws when that has ended. */
  constructor(handle: StoreHandle)
  readonly handle: StoreHandle
  /** Makes it the store that shared storages of this process are allocated from. */
  use(): void
  /** Frees what only processes that have ended held; returns how many objects that were. */
  reap(): number
  readonly freeBytes: number
  readonly spilledBytes: number
  /** What each process holds, the most first. */
  readonly usage: { pid: number; objects: number; bytes: number }[]
}

/** Keeps an object of the store in being, but not in memory. */
export interface StoreHold {
  release(): void
}

/** Part of an open file. */
export interface FileRegion {
  fd: number
  /** Bytes from the file's start. */
  offset: number
  bytes: number
}

/** Memory: zeroed and private to this process, shared with others of its host, part of a file, or zeroed and on a GPU. */
export class Storage {
  constructor(bytes: number, shared: boolean)
  /** An object of the store, whose content is undefined. Throws when the store is full. */
  constructor(bytes: number, kind: 'stored')
  /** Maps another process's shared storage. Throws when its owner has ended or released it. */
  constructor(handle: SharedMemoryHandle)
  /** Maps part of a file in place; writes to it stay in this process. Throws when the file is shorter than that. */
  constructor(region: FileRegion)
  /** Memory of a GPU, by its number among those that this process may use. Throws what the driver says. */
  constructor(place: { gpu: number; bytes: number })
  /** `cpu`, or `cuda:` and the GPU's number. */
  readonly device: 'cpu' | `cuda:${number}`
  /** The whole of the memory, without a copy. Throws for memory of a GPU. */
  readonly buffer: ArrayBuffer
  /** Undefined for private memory. */
  readonly handle: SharedMemoryHandle | undefined
  /** Another array over the memory, for native code that goes on to use it whatever becomes of {@link buffer}. */
  lend(): ArrayBuffer
  /** Copies bytes to its beginning; cheaper than through `buffer` for memory that this process does not look at. */
  write(bytes: Uint8Array): void
  /** Throws if it is part of a file that was changed since it was mapped, or could not be read. */
  verify(): void
  /** Keeps an object of the store in being when this storage is released; undefined for other memory. */
  hold(): StoreHold | undefined
  /** Lets go of the memory; it is freed once no buffer over it is left either. */
  release(): void
}

/** Polls rings in shared memory, each known by its counters of what was written to it and what was read from it. */
export class RingPoller {
  /** Adds a ring whose counters stand in `memory`, which is kept, at these bytes; returns the number that it is removed by. */
  add(memory: Storage, written: number, read: number): number
  remove(ring: number): void
  /** Whether a ring has something to read, now or within some microseconds. Blocks meanwhile, and lets others run. */
  poll(microseconds: number): boolean
}

/** Part of a storage, in host memory or on a GPU. */
export interface Region {
  storage: Storage
  offset: number
  bytes: number
}

/** Copies to, from or on a GPU. */
export function copyBytes(from: Region, to: Region): Promise<void>

/** The GPUs that this process may use. Throws if there is no CUDA driver. */
export function gpuCount(): number

/** The name of a GPU, by its number among those that this process may use. Throws what the driver says. */
export function gpuName(gpu: number): string

/** The version of the NCCL library that is opened, e.g. 2.30.7. Throws if there is none, or too old a one. */
export function ncclVersion(): string

/** A new id for a communicator of NCCL. Throws what NCCL says. */
export function ncclUniqueId(): Uint8Array
/** A pipe that wakes this process's event loop. One serves all channels that a JavaScript thread has an end of. */
export class Waker {
  constructor()
  /** Becomes readable when somebody wakes the loop; whoever watches it reads it empty and closes it. */
  readonly fd: number
}

/** The writing end of a bounded queue in shared memory, whose readers each get every message. */
export class ChannelWriter {
  /**
   * @param options `messages`: how many the slowest reader may be behind; `bytes`: of the ring they lie in; `readers`: how
   * many there are
   */
  constructor(options: { messages: number; bytes: number; readers: number }, waker: Waker)
  readonly handle: SharedMemoryHandle
  /** Bytes that a message may have. */
  readonly limit: number
  /** How many messages have been written. */
  readonly written: number
  /** How many messages all readers that are left have taken in. */
  readonly taken: number
  /** Whether any reader is left, or may still come. */
  readonly hasReaders: boolean
  /** Publishes a message, a piece after the other; false when there is no room for it. Throws if it is above the limit. */
  write(tag: number, ...pieces: Uint8Array[]): boolean
  /** Publishes a number, a truth value or null, as msgpack has it; undefined if the value is none of these. */
  writeScalar(value: unknown): boolean | undefined
  hasRoom(bytes: number): boolean
  /** Has the event loop woken when a reader moves on; false when there is room already. */
  arm(bytes: number): boolean
  /** Sleeps until there is room, no reader is left, or the milliseconds have passed; returns whether it can be written. */
  wait(bytes: number, milliseconds: number): boolean
  /** Gives up readers whose process has ended. */
  checkReaders(): void
  close(): void
}

/** One reading end of a channel. Throws when another process is this reader already, or the writer's process has ended. */
export class ChannelReader {
  constructor(handle: SharedMemoryHandle, index: number, waker: Waker)
  /** The memory that messages lie in; a message stays until `advance` is called. */
  readonly buffer: ArrayBuffer
  /** Where {@link peek} says what it found: the message's first byte, the end of it, its tag. */
  readonly frame: Uint32Array
  /** Whether there is a message; waits for one at most for some microseconds, the first of them awake. */
  peek(microseconds: number): boolean
  /**
   * Takes the next message if it is a number, a truth value or null; undefined if none has come, which is waited for as
   * with {@link peek}, and this reader itself if it is another message, which was found then.
   */
  takeScalar(microseconds: number): number | boolean | null | undefined | this
  /** Lets go of a message's memory, and, unless told otherwise, says that it has been taken in. */
  advance(isTaken?: boolean): void
  acknowledge(messages: number): void
  /** Sleeps until there is a message, the writer has closed or died, or the milliseconds have passed. */
  wait(milliseconds: number): boolean
  /** Has the event loop woken at the next message; false when there is something already. */
  arm(): boolean
  disarm(): void
  readonly isClosed: boolean
  readonly isWriterAlive: boolean
  readonly writerPid: number
  close(): void
}

/** Several reading ends that are waited for together. */
export class ChannelSet {
  constructor(readers: ChannelReader[])
  /** Waits until one of them has a message or was closed, at most for some microseconds, the first of them awake. */
  wait(microseconds: number): boolean
  /** Has the event loop woken when one of them has; false when one has already. */
  arm(): boolean
  disarm(): void
}

/** Where the other ranks of a group reach one rank. */
export interface RankAddress {
  rank: number
  node: string
  inbox: SharedMemoryHandle
  host: string
  port: number
  /** Whether its tensors will be on a GPU. */
  usesGpu: boolean
}

export interface CommunicatorOptions {
  /** This member's number, from 0 to size - 1. */
  rank: number
  size: number
  /** What errors call the group, e.g. a mesh dimension. */
  name: string
  /** Ranks that give the same node id meet in shared memory, others over TCP. */
  node: string
  /** This host's address as other nodes see it; leave it out when all ranks are on one node. */
  host?: string
  /** A secret that all ranks were given; connections that do not know it are dropped. */
  token: string
  /**
   * Whether what travels between nodes is encrypted (AES-256-GCM, with keys that the token is part of); all ranks must say the
   * same. It takes about a second copy of the data, and more CPU.
   */
  encrypt?: boolean
  /** What errors call each rank. */
  labels?: string[]
  /** Whether a rank waits awake for some 50 us before it sleeps: for ranks that have a core each. */
  spin?: boolean
  /** Milliseconds without any progress after which an operation fails; 30,000 by default. */
  timeout?: number
  /**
   * Bytes of messages that may be under way from one rank to another of its host before a sender waits: a power of two, which
   * all ranks must say alike; 512 KiB by default. Messages between nodes wait for their receiver.
   */
  messageBytes?: number
  /** The GPU that this rank's tensors will be on; if all ranks name one, connecting makes them meet over NCCL too. */
  gpu?: number | undefined
}

export class Communicator {
  constructor(options: CommunicatorOptions)
  readonly address: RankAddress
  connect(addresses: RankAddress[]): Promise<void>
  /** Runs collectives in order; messages that follow each other are exchanged all at once. */
  run(requests: CollectiveRequest[]): Promise<void>
  /** Makes the ranks of a part, who share a color, meet over NCCL if those of this group have; all ranks call it. */
  splitGpus(part: Communicator, color: number, key: number): Promise<void>
  /** Prepares memory of a GPU for transfers until deregisterMemory() is called with the same number. */
  registerMemory(id: number, memory: Region): Promise<void>
  deregisterMemory(id: number): Promise<void>
  /** Leaves the group in order; all ranks call it. */
  close(): Promise<void>
  abort(reason: string): void
}

/** A collective. Sizes are in bytes, one a rank. */
export interface CollectiveRequest {
  kind:
    | 'allReduce'
    | 'reduceScatter'
    | 'allGather'
    | 'broadcast'
    | 'reduce'
    | 'allToAll'
    | 'gather'
    | 'scatter'
    | 'barrier'
    | 'send'
    | 'receive'
  type: 'uint8' | 'int8' | 'int32' | 'int64' | 'float16' | 'bfloat16' | 'float32'
  reduction?: 'sum' | 'product' | 'min' | 'max' | 'average'
  root?: number
  /** The other rank of a message. */
  peer?: number
  /** What each rank gives, or, in an all-to-all, what each is sent. */
  sizes?: number[]
  /** In an all-to-all, what each rank sends here. */
  receiveSizes?: number[]
  input?: Region | undefined
  output?: Region | undefined
}

export type DataType =
  | 'float32'
  | 'float16'
  | 'bfloat16'
  | 'bool'
  | 'int8'
  | 'uint8'
  | 'int32'
  | 'int64'
  | 'q8_0'
  | 'q4_0'
  | 'q4_1'
  | 'q5_0'
  | 'q5_1'
  | 'q4_k'
  | 'q5_k'
  | 'q6_k'

/** The shape of a matrix. */
export interface ValueShape {
  type: DataType
  /** Index of the symbol that counts the rows, or -1 for a fixed number of rows. */
  symbol: number
  /** The fixed number, or the most that the symbol may be. */
  rows: number
  columns: number
  /** Whether it is a weight that packRows() has packed. */
  isPacked?: boolean
}

/** Bytes of a weight [rows, columns] when it is packed for products; 0 for types that have no such layout. */
export function packedBytes(type: ValueShape['type'], rows: number, columns: number): number

/**
 * Packs rows of `columns` elements into a packed weight, from its row `first` on: multiples of 16 at multiples of 16, but for the last.
 * Throws a RangeError for others, and for what does not fit.
 */
export function packRows(
  type: ValueShape['type'],
  columns: number,
  rows: Uint8Array,
  packed: Uint8Array,
  first: number,
): void

/** Where the rows of a matrix are in a file: row r begins at `offset` + order[r] · `stride`, or, without an order, r · `stride`. */
export interface FileRows {
  fd: number
  /** Bytes. */
  offset: number
  stride: number
  order?: Uint32Array
}

/**
 * Reads the rows of a weight from a file and packs them into `packed`, on so many threads beside this one.
 * @returns The first block, counted row by row, whose scale is infinite or not a number; or -1.
 */
export function packFile(
  type: ValueShape['type'],
  shape: readonly [number, number],
  rows: FileRows,
  packed: Region,
  threads: number,
): Promise<number>

/**
 * Throws a TypeError unless an operation takes such operands and attributes. `ranks` and `rank` are those of its group.
 * @param symbols what errors call them
 */
export function checkOperation(
  operation: {
    name: string
    inputs: ValueShape[]
    outputs: ValueShape[]
    numbers: Record<string, number>
    geometry?: readonly number[] | undefined
    ranks?: number | undefined
    rank?: number | undefined
  },
  symbols: string[],
): void

/** The elements of an array in host memory. */
export interface ArrayOperand {
  type: ValueShape['type']
  elements: number
  /** Bytes into `storage`. */
  offset: number
  storage: Storage
}

/** Does one operation on arrays (native/src/program/array_operations.h), on all cores; blocks meanwhile. Throws, with nothing done, for what does not fit. */
export function compute(
  name: string,
  geometry: readonly number[],
  inputs: readonly ArrayOperand[],
  output: ArrayOperand,
): void

export interface ProgramDescription {
  symbols: { name: string; limit: number }[]
  values: (ValueShape & {
    /** Bytes into `storage`, or into the arena where there is none. */
    offset: number
    storage?: Storage
  })[]
  arenaBytes: number
  operations: {
    name: string
    inputs: number[]
    outputs: number[]
    numbers: Record<string, number>
    /** See native/src/program/array_operations.h. */
    geometry?: readonly number[] | undefined
    /** Index into `groups`, or -1. */
    group: number
    /** Whether another device does it, between the runs of parts of the program; its indices are checked here. */
    isElsewhere?: boolean
  }[]
  groups: Communicator[]
}

export class Program {
  /**
   * Throws a TypeError or RangeError where the description says what no operation takes, or leads out of its memory.
   * @param cores cores that processes share out, and the first of this one's; a run on another's moves to its own
   */
  constructor(description: ProgramDescription, threads: number, cores?: { first: number; all: number })
  /** The memory of every value that is not a constant. */
  readonly arena: ArrayBuffer
  /** Runs all operations, or those from `begin` to below `end`. The first part rejects, with nothing done, for indices outside of their bounds. */
  run(symbols: number[], begin?: number, end?: number): Promise<void>
  /** Throws a RangeError if a run with these symbols would be refused for what it is given. */
  check(symbols: number[]): void
  /** Milliseconds of all runs so far: computing, waiting for other ranks, moving data to and from them. */
  readonly statistics: { busy: number; waiting: number; transfer: number }
  /** The same for each operation, in the order in which they run: milliseconds, and bytes of the operands read and written. */
  profile(): { operation: string; columnsIn: number; columnsOut: number; milliseconds: number; bytes: number }[]
  cancel(reason: string): void
}

/** Makes the kernel end this process as soon as the process that started it ends. */
export function dieWithParent(parentPid: number): void

/** Makes this process the parent of what its descendants leave behind when they end. */
export function adoptOrphans(): void

/** Takes notice of the end of a child that Node.js did not start, or of any in a process group for a negative id; whether one had ended. */
export function reap(pid: number): boolean

/** The instruction set that the CPU kernels use: portable, avx2, avxvnni or avx512. */
export function kernelName(): string

/** Bytes a second that threads together read from `bytes` of memory; blocks meanwhile. */
export function readRate(bytes: number, threads: number): number

/** Seconds that threads together take to add two arrays of `bytes` bytes of float32 into a third; blocks meanwhile. */
export function addTime(bytes: number, threads: number): number

/** Seconds that a page of shared memory costs. */
export interface PageCosts {
  /** A new one, when it is first touched. */
  fault: number
  /** A new one among many that are populated in one call. */
  populated: number
  /** One that there is already, when it is first touched through another mapping. */
  mappedFault: number
  /** One of these among many that are populated in one call. */
  mappedPopulated: number
  /** One that was touched before. */
  touched: number
}

/** What pages cost, as measured on `bytes` bytes of them; blocks meanwhile. */
export function pageCosts(bytes: number): PageCosts

/** Independent float32 multiply-adds a second that threads together do; blocks meanwhile. */
export function multiplyAddRate(threads: number): number
