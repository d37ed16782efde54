import { actor, type Handle, remote } from '@troupe/core'

/** Gives back what it gets. */
export class Echo {
  echo(value: number): number {
    return value
  }

  nbytes(array: Uint8Array): number {
    return array.byteLength
  }
}

export const RemoteEcho = actor(import.meta.url, Echo)
export type EchoHandle = Handle<Echo>

export const noop = remote(import.meta.url, function noop(): null {
  return null
})
