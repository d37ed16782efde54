import { Socket } from 'node:net'
import { Waker } from '@troupe/native'

/** Options that Node.js takes and its types leave out: one buffer for all that is read. */
interface ReadingOptions {
  readonly fd: number
  readonly readable: true
  readonly writable: false
  readonly onread: { readonly buffer: Uint8Array; readonly callback: () => boolean }
}

let waker: Waker | undefined
let socket: Socket | undefined
const sleepers = new Map<Sleeper, () => void>()

/** The waker of this process's event loop, which the ends of channels here name as the way to wake it. */
export function processWaker(): Waker {
  if (waker) return waker
  waker = new Waker()
  const options: ReadingOptions = {
    fd: waker.fd,
    readable: true,
    writable: false,
    onread: { buffer: new Uint8Array(64), callback: wakeAll },
  }
  socket = new Socket(options)
  socket.unref()
  return waker
}

/** An end of a channel that may wait for this process to be woken, which stays alive meanwhile. */
export class Sleeper {
  /**
   * Has a function called once when some end that was armed is woken, not necessarily this one. It takes the place of an
   * earlier one.
   */
  sleep(wake: () => void): void {
    if (sleepers.set(this, wake).size === 1) socket?.ref()
  }

  /** Takes that back. */
  cancel(): void {
    if (sleepers.delete(this) && sleepers.size === 0) socket?.unref()
  }
}

function wakeAll(): boolean {
  const woken = new Set(sleepers.values())
  sleepers.clear()
  socket?.unref()
  for (const wake of woken) wake()
  return true
}
