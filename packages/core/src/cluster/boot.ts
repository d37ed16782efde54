import type { StoreHandle } from '@troupe/native'
import type { ProcessAddress } from '../transport/switchboard.js'
import type { HeadOptions } from './head.js'

/** Marks every process of a cluster, so that what is left of one can be found. */
export const CLUSTER_VARIABLE = 'TROUPE_CLUSTER'
/** Carries a worker's {@link WorkerBoot}. */
export const WORKER_VARIABLE = 'TROUPE_WORKER'
/** Carries the {@link HeadBoot} of a head that a driver starts. */
export const HEAD_VARIABLE = 'TROUPE_HEAD'

/** What a worker is told of its cluster. */
export interface WorkerSettings {
  readonly processId: string
  readonly nodeId: string
  readonly clusterId: string
  /** What the processes of the cluster know each other by. */
  readonly secret: string
  readonly head: ProcessAddress
  readonly headEndpoint: string
  readonly host: string
  readonly store: StoreHandle
  /** Whether other nodes must be able to reach it. */
  readonly listens: boolean
}

/** What the process of a worker is told through its environment. */
export interface WorkerBoot extends WorkerSettings {
  readonly parentPid: number
}

/** What a process of threads is told through its environment. */
export const THREADS_VARIABLE = 'TROUPE_THREADS'

/** What the head of a local cluster is told through its environment. */
export interface HeadBoot extends HeadOptions {
  readonly parentPid: number
}
