import { statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { Store, type StoreHandle } from '@troupe/native'
import { InvalidInputError } from '../common/errors.js'
import { memoryOfHost } from '../common/host-memory.js'

/** Options of a node's store. */
export interface StoreOptions {
  /** Bytes of shared memory that values may take; three tenths of the memory of the host, or of its container, by default. */
  readonly memory?: number
  /**
   * Bytes that may be spilled to disk when that is full, 0 for none; by default half of what is free on the disk, or twice the
   * memory where the folder is in memory itself.
   */
  readonly disk?: number
  /** The folder they are spilled to; by default that for temporary files, or none if that cannot be written to. */
  readonly folder?: string
}

/** The type by which statfs(2) tells a file system that is in memory. */
const TMPFS = 0x01021994

let current: Store | undefined

/** Whether this process is on a node with a store. */
export function hasStore(): boolean {
  return current !== undefined
}

/** The store of this process's node. */
export function nodeStore(): Store | undefined {
  return current
}

/**
 * Makes the store of a node. Its memory is taken as it is used.
 *
 * @throws InvalidInputError if an amount is no number of bytes, or the folder cannot be written to
 */
export function makeStore({ memory = Math.floor(memoryOfHost() * 0.3), disk, folder }: StoreOptions = {}): Store {
  const isAsked = folder !== undefined || (disk !== undefined && disk > 0)
  for (const [name, bytes] of Object.entries({ memory, disk: disk ?? 0 })) {
    if (Number.isSafeInteger(bytes) && bytes >= 0) continue
    throw new InvalidInputError(`${name} of the store must be a number of bytes, found ${bytes}`)
  }
  const spillFolder = folder ?? tmpdir()
  const make = (bytes: number) => new Store({ memoryBytes: memory, diskBytes: bytes, spillFolder })
  try {
    return make(disk ?? roomOf(spillFolder, memory))
  } catch (error) {
    const why = (error as Error).message
    if (isAsked) {
      const advice = 'set TMPDIR or store.folder to a folder that can be written to, or store.disk to 0'
      throw new InvalidInputError(`the object store cannot be made: ${why}; ${advice}`)
    }
    // A user that has not asked for a disk goes without one.
    return make(0)
  }
}

function roomOf(folder: string, memory: number): number {
  try {
    const { type, bavail, bsize } = statfsSync(folder)
    if (type !== TMPFS) return Math.floor((bavail * bsize) / 2)
  } catch {
    // An error of the folder is told when the file is made there.
  }
  return 2 * memory
}

/** Makes a store that another process of the node has made this process's own. */
export function joinStore(handle: StoreHandle | undefined): void {
  if (!handle) return
  current = new Store(handle)
  current.use()
}
