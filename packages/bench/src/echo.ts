import { actor } from '@troupe/core'

/** Gives back what it gets. */
export class Echo {
  echo<T>(value: T): T {
    return value
  }
}
export const RemoteEcho = actor(import.meta.url, Echo)
