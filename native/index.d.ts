/** What another process of this host needs to map a shared storage. */
export interface SharedMemoryHandle {
  pid: number
  fd: number
  name: string
  bytes: number
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
  /** Maps another process's shared storage. Throws when its owner has ended or released it. */
  constructor(handle: SharedMemoryHandle)
  /** Maps part of a file in place; writes to it stay in this process. Throws when the file is shorter than that. */
  constructor(region: FileRegion)
  /** Memory of a GPU, by its number among those that this process may use. Throws what the driver says. */
  constructor(place: { gpu: number; bytes: number })
  /** `cpu`, or `cuda:` and the GPU's number. */
  readonly device: string
  /** The whole of the memory, without a copy. Throws for memory of a GPU. */
  readonly buffer: ArrayBuffer
  /** Undefined for private memory. */
  readonly handle: SharedMemoryHandle | undefined
  /** Lets go of the memory; it is freed once no buffer over it is left either. */
  release(): void
}

/** Part of a storage, e.g. on a GPU. */
export interface Region {
  storage: Storage
  offset: number
  bytes: number
}

/** Copies to, from or on a GPU. */
export function copyBytes(from: ArrayBufferView | Region, to: ArrayBufferView | Region): Promise<void>

/** The GPUs that this process may use. Throws if there is no CUDA driver. */
export function gpuCount(): number

/** The version of the NCCL library that is opened, e.g. 2.30.7. Throws if there is none, or too old a one. */
export function ncclVersion(): string

/** A new id for a communicator of NCCL. Throws what NCCL says. */
export function ncclUniqueId(): Uint8Array

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
  rank: number
  size: number
  /** What errors call the group. */
  name: string
  /** Ranks with the same node id share memory; others meet over TCP. */
  node: string
  /** This host's address as other nodes see it; left out when all ranks are on one node. */
  host?: string
  /** A secret that all ranks were given. */
  token: string
  /** Whether what travels between nodes is encrypted; all ranks must say the same. */
  encrypt?: boolean
  /** What errors call each rank. */
  labels?: string[]
  /** Whether a rank may wait awake for some microseconds before it sleeps. */
  spin?: boolean
  /** Milliseconds without any progress after which an operation fails. Default 30,000. */
  timeout?: number
  /** The GPU that this rank's tensors will be on; if all ranks name one, connecting makes them meet over NCCL too. */
  gpu?: number | undefined
}

export class Communicator {
  constructor(options: CommunicatorOptions)
  readonly address: RankAddress
  connect(addresses: RankAddress[]): Promise<void>
  /** Runs collectives in order; messages that follow each other are exchanged all at once. Sizes are not checked. */
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
  input?: ArrayBufferView | Region | undefined
  output?: ArrayBufferView | Region | undefined
}

export type DataType =
  | 'float32'
  | 'float16'
  | 'bfloat16'
  | 'int32'
  | 'q8_0'
  | 'q4_0'
  | 'q4_1'
  | 'q5_0'
  | 'q5_1'
  | 'q4_k'
  | 'q5_k'
  | 'q6_k'

export interface ProgramDescription {
  symbols: { name: string; limit: number }[]
  values: {
    type: DataType
    /** Index of the symbol that counts the rows, or -1 for a fixed number of rows. */
    symbol: number
    rows: number
    columns: number
    /** Bytes into `storage`, or into the arena where there is none. */
    offset: number
    storage?: Storage
  }[]
  arenaBytes: number
  operations: {
    name: string
    inputs: number[]
    outputs: number[]
    numbers: Record<string, number>
    /** Index into `groups`, or -1. */
    group: number
  }[]
  groups: Communicator[]
}

export class Program {
  constructor(description: ProgramDescription, threads: number)
  /** The memory of every value that is not a constant. */
  readonly arena: ArrayBuffer
  run(symbols: number[]): Promise<void>
  cancel(reason: string): void
}

/** Makes the kernel end this process as soon as the process that started it ends. */
export function dieWithParent(parentPid: number): void

/** The instruction set that the CPU kernels use: portable, avx2, avxvnni or avx512. */
export function kernelName(): string

/** Bytes a second that threads together read from `bytes` of memory; blocks meanwhile. */
export function readRate(bytes: number, threads: number): number

/** Independent float32 multiply-adds a second that threads together do; blocks meanwhile. */
export function multiplyAddRate(threads: number): number
