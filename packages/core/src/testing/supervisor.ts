import { type ActorFailure, type ActorHooks, actor, type Decision, type Handle } from '@troupe/core'
import { type Counter, RemoteCounter } from './counter.js'

/** An actor that owns a counter and decides what becomes of it. */
export class Supervisor implements ActorHooks {
  readonly failures: ActorFailure[] = []

  constructor(private readonly decision: Decision) {}

  supervise(failure: ActorFailure): Decision {
    this.failures.push(failure)
    return this.decision
  }

  spawn(): Promise<Handle<Counter>> {
    return RemoteCounter.spawn(30)
  }

  seen(): ActorFailure[] {
    return this.failures
  }
}
export const RemoteSupervisor = actor(import.meta.url, Supervisor)
