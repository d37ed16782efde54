import { type Region as NativeRegion, Storage } from '@troupe/native'
import type { Memory, Region } from './backend.js'

/**
 * The memory as native code knows it.
 * @throws TypeError for memory that native code cannot reach.
 * @internal
 */
export function nativeStorage(memory: Memory): Storage {
  if (memory instanceof Storage) return memory
  throw new TypeError(`expected memory of the host or of a CUDA device, found memory of ${memory.device}`)
}

/** @throws TypeError as {@link nativeStorage} does. */
export function nativeRegion({ storage, offset, bytes }: Region): NativeRegion {
  return { storage: nativeStorage(storage), offset, bytes }
}
