import { actor, remote } from '@troupe/core'

/** Keeps its thread busy for some milliseconds, and gives them back. */
export function busyFor(milliseconds: number): number {
  const end = performance.now() + milliseconds
  while (performance.now() < end);
  return milliseconds
}
export const remoteBusyFor = remote(import.meta.url, busyFor)

/** An actor whose constructor keeps its thread busy. */
export class Busy {
  constructor(private readonly milliseconds: number) {
    busyFor(milliseconds)
  }

  passed(): number {
    return this.milliseconds
  }
}
export const RemoteBusy = actor(import.meta.url, Busy)
