import { readSync } from 'node:fs'
import type { Writable } from 'node:stream'
import type { StoreHandle } from '@troupe/native'
import type { StoreOptions } from '../store/store.js'
import type { ProcessAddress } from '../transport/connection-manager.js'
import type { Resources } from './resources.js'

/** Marks every process of a cluster, so that what is left of one can be found. */
export const CLUSTER_VARIABLE = 'TROUPE_CLUSTER'

/** The cluster of a worker, and its own place in it. */
export interface WorkerSettings {
  readonly processId: string
  readonly nodeId: string
  readonly clusterId: string
  /** The secret by which the processes of the cluster know each other. */
  readonly secret: string
  readonly head: ProcessAddress
  readonly headEndpoint: string
  readonly host: string
  readonly store: StoreHandle
  /** Whether other nodes must be able to reach it. */
  readonly listens: boolean
}

/** Boot message of a worker's process. */
export interface WorkerBoot extends WorkerSettings {
  readonly parentPid: number
}

/** Boot message of a process of threads. */
export type ThreadsBoot = Pick<WorkerBoot, 'parentPid'>

/** Options of a head and of its node. */
export interface HeadOptions {
  readonly processId: string
  readonly nodeId: string
  readonly clusterId: string
  /** The secret by which the processes of the cluster know each other. */
  readonly secret: string
  /** The address at which to listen for other hosts; left out, the cluster stays within this host. */
  readonly listen?: { readonly host: string; readonly port: number } | undefined
  /** The driver that the cluster ends with, where it stays within this host. */
  readonly driver?: string | undefined
  /**
   * Whether that driver is sent the lines of its actors, which this process would otherwise write to the stderr that they
   * share.
   */
  readonly relaysLines?: boolean | undefined
  /** The script that started the cluster, as other programs of the user are told. */
  readonly program: { readonly name: string; readonly pid: number }
  /** Resources of its node beside or instead of those that the host has. */
  readonly resources?: Resources | undefined
  readonly labels?: Readonly<Record<string, string>> | undefined
  /** Flags of Node.js for the workers of its node. */
  readonly nodeFlags?: readonly string[] | undefined
  /** The store that the processes of its node share. */
  readonly store?: StoreOptions | undefined
}

/** Boot message of the head of a local cluster. */
export interface HeadBoot extends HeadOptions {
  readonly parentPid: number
}

/**
 * Tells a process that was just started what it is to be: in the first line of its stdin. Its environment, which all that its
 * actors start inherit and others can read, has no secrets.
 */
export function sendBoot(stdin: Writable, boot: WorkerBoot | ThreadsBoot | HeadBoot): void {
  stdin.write(`${JSON.stringify(boot)}\n`)
}

/** Waits for the boot message of this process, which has said nothing before it knows what it is to be. */
export function receiveBoot<T extends WorkerBoot | ThreadsBoot | HeadBoot>(): T {
  const pieces: Buffer[] = []
  for (;;) {
    const piece = Buffer.alloc(4096)
    const length = readPiece(piece)
    if (length === 0) throw new Error('the process that started this one ended before it had said what to do')
    pieces.push(piece.subarray(0, length))
    if (piece[length - 1] === NEWLINE) return JSON.parse(Buffer.concat(pieces).toString()) as T
  }
}

const NEWLINE = 10
/** Milliseconds between two looks at a stdin that does not block. */
const LOOK_INTERVAL = 5

function readPiece(into: Buffer): number {
  for (;;) {
    try {
      return readSync(0, into)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EOF') return 0
      if (code !== 'EAGAIN') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_INTERVAL)
    }
  }
}
