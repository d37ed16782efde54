import type { Socket } from 'node:net'
import { actor } from '@troupe/core'

/** Methods whose types are not plain. */
export class Typed {
  twice(value: string): string
  twice(value: number): number
  twice(value: string | number): string | number {
    return typeof value === 'string' ? value + value : 2 * value
  }

  call(callback?: (() => number) | number): number {
    return typeof callback === 'function' ? callback() : (callback ?? 0)
  }

  write(socket: Socket): void {
    socket.end()
  }
}
export const RemoteTyped = actor(import.meta.url, Typed)
