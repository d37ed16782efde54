import { Socket } from 'node:net'
import { Waker } from '@troupe/native'

/** What Node.js takes and its types leave out: one buffer for all that is read. */
interface ReadingOptions {
  readonly fd: number
  readonly readable: true
  readonly writable: false
  readonly onread: { readonly buffer: Uint8Array; readonly callback: () => boolean }
}

let waker: Waker | undefined
let socket: Socket | undefined
const sleepers = new Set<() => void>()

/** What the ends of channels in this process name as the way to wake its event loop. */
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

/**
 * Calls a function once when some end of a channel that was armed is woken, not necessarily the one it is about. Until then
 * this process stays alive.
 *
 * @returns takes it back
 */
export function whenWoken(wake: () => void): () => void {
  if (sleepers.add(wake).size === 1) socket?.ref()
  return () => {
    if (sleepers.delete(wake) && sleepers.size === 0) socket?.unref()
  }
}

function wakeAll(): boolean {
  const woken = [...sleepers]
  sleepers.clear()
  socket?.unref()
  for (const wake of woken) wake()
  return true
}
