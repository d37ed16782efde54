import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/**
 * Takes an array's memory away, as passing it to another thread does. Node.js keeps memory that native code has made from being
 * passed on, and before version 22 there is no other way.
 * @returns whether it is gone
 */
export function detach(buffer: ArrayBufferLike): boolean {
  const transferable = buffer as ArrayBuffer & { transfer?(): ArrayBuffer }
  try {
    if (transferable.transfer) transferable.transfer()
    else structuredClone(buffer, { transfer: [transferable] })
  } catch (error) {
    if ((error as Error).name !== 'DataCloneError') throw error
  }
  return buffer.byteLength === 0
}

/** Collects garbage now, with it the memory of arrays that nothing refers to. */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  ;(runInNewContext('gc') as () => void)()
}
