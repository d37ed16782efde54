import { tmpdir } from 'node:os'
import { Store, type StoreHandle } from '@troupe/native'
import { InvalidInputError } from '../api/errors.js'
import { memoryOfHost } from '../cluster/resources.js'

/** How the store of a node is made. */
export interface StoreOptions {
  /** Bytes of shared memory that values may take; three tenths of the memory of the host, or of its container, by default. */
  readonly memory?: number
  /** Bytes that may be spilled to disk when that is full; twice the memory by default, and 0 for none. */
  readonly disk?: number
  /** Where they are spilled to; by default the folder for temporary files, or nowhere if that cannot be written to. */
  readonly folder?: string
}

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
  const make = (bytes: number) => new Store({ memoryBytes: memory, diskBytes: bytes, spillFolder: folder ?? tmpdir() })
  try {
    return make(disk ?? 2 * memory)
  } catch (error) {
    const why = (error as Error).message
    if (isAsked) {
      const advice = 'set TMPDIR or store.folder to a folder that can be written to, or store.disk to 0'
      throw new InvalidInputError(`the object store cannot be made: ${why}; ${advice}`)
    }
    // Who has not asked for a disk goes without one.
    return make(0)
  }
}

/** Makes a store that another process of the node has made this process's own. */
export function joinStore(handle: StoreHandle | undefined): void {
  if (!handle) return
  current = new Store(handle)
  current.use()
}
