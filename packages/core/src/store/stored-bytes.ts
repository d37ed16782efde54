import { type SharedMemoryHandle, Storage } from '@troupe/native'
import { collectGarbage } from '../common/collect-garbage.js'
import { hasStore } from './store.js'

/** Bytes from this many on travel within a node as an object of its store. */
const STORED_BYTES = 65536

/** Bytes that another process of the node can map. */
export interface StoredBytes {
  readonly handle: SharedMemoryHandle
  /** Bytes from the object's start. */
  readonly offset: number
  /** Says that nobody maps them through this process any more. */
  readonly release: () => void
}

/** The storages behind arrays that lie in a store. */
const storages = new WeakMap<ArrayBufferLike, Storage>()

/**
 * The form in which bytes travel within a node: as they are if they lie in the store, as a copy in it if they are large.
 * Undefined for bytes that travel better in the message.
 *
 * @param mustBeStored whether a full store is an error
 * @throws Error if it is one, and the store is full
 */
export function storeBytes(bytes: Uint8Array, mustBeStored: boolean): StoredBytes | undefined {
  const known = storages.get(bytes.buffer)
  if (known) return stored(known, bytes.byteOffset)
  if (bytes.length < STORED_BYTES || !hasStore()) return undefined
  let storage: Storage
  try {
    storage = new Storage(bytes.length, 'stored')
  } catch (error) {
    if (mustBeStored) throw error
    return undefined
  }
  storage.write(bytes)
  const made = stored(storage, 0)
  // Bytes on their way need not stay in memory.
  storage.release()
  return made
}

/** Bytes of the store, in place. They live as long as an array over them. */
export function openStored(handle: SharedMemoryHandle, offset: number, length: number): Uint8Array {
  const storage = new Storage(handle)
  const { buffer } = storage
  if (storage.handle) storages.set(buffer, storage)
  else collectSoon()
  return new Uint8Array(buffer, offset, length)
}

let isCollecting = false

/** A full store may be full of what this process has mapped and uses no more. */
function collectSoon(): void {
  if (isCollecting) return
  isCollecting = true
  setImmediate(() => {
    isCollecting = false
    collectGarbage()
  })
}

function stored(storage: Storage, offset: number): StoredBytes | undefined {
  const hold = storage.hold()
  const { handle } = storage
  return hold && handle && { handle, offset, release: () => hold.release() }
}
