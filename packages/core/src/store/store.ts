import { tmpdir, totalmem } from 'node:os'
import { Store, type StoreHandle } from '@troupe/native'
import { InvalidInputError } from '../api/errors.js'

/** How the store of a node is made. */
export interface StoreOptions {
  /** Bytes of shared memory that values may take; three tenths of the host's memory by default. */
  readonly memory?: number
  /** Bytes that may be spilled to disk when that is full; twice the memory by default, and 0 for none. */
  readonly disk?: number
  /** Where they are spilled to; by default the folder for temporary files. */
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
export function makeStore({
  memory = Math.floor(totalmem() * 0.3),
  disk = 2 * memory,
  folder = tmpdir(),
}: StoreOptions = {}): Store {
  for (const [name, bytes] of Object.entries({ memory, disk })) {
    if (Number.isSafeInteger(bytes) && bytes >= 0) continue
    throw new InvalidInputError(`${name} of the store must be a number of bytes, found ${bytes}`)
  }
  try {
    return new Store({ memoryBytes: memory, diskBytes: disk, spillFolder: folder })
  } catch (error) {
    throw new InvalidInputError(`the object store cannot be made: ${(error as Error).message}`)
  }
}

/** Makes a store that another process of the node has made this process's own. */
export function joinStore(handle: StoreHandle | undefined): void {
  if (!handle) return
  current = new Store(handle)
  current.use()
}
