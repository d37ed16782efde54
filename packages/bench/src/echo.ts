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

function noop(): null {
  return null
}

export const remoteNoop = remote(import.meta.url, noop)
