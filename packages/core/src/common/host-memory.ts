import { totalmem } from 'node:os'

/** Bytes of memory that processes here may take together: the host's, or what the limit of a container leaves of it. */
export function memoryOfHost(host = totalmem(), limit = process.constrainedMemory?.() ?? 0): number {
  // Where there is no limit it is 0, or larger than any memory.
  return limit > 0 && limit < host ? limit : host
}
