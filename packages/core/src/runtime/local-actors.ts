import type { Runtime } from './runtime.js'

let start: ((processId: string, owner: Runtime) => Promise<void>) | undefined

/**
 * Says how an actor is started in the thread of this process: that takes what workers are made of, which drivers rarely
 * load.
 */
export function startLocalActorsBy(starting: (processId: string, owner: Runtime) => Promise<void>): void {
  start = starting
}

/** Starts a worker for an actor in the thread of this process, which a runtime of it has spawned. */
export async function startLocalActor(processId: string, owner: Runtime): Promise<void> {
  await start!(processId, owner)
}
