import { existsSync, writeFileSync } from 'node:fs'
import {
  type ActorHooks,
  actor,
  currentActor,
  type Decision,
  describeActor,
  type Handle,
  put,
  remote,
  withOptions,
} from '@troupe/core'

/** What arrived, and on which node. */
export interface Received {
  readonly values: unknown[]
  readonly nodeId: string
}

/** Values of the kinds that travel in different ways: in the message, beside it, and through the object store. */
export function sentValues() {
  return {
    plain: { nested: [1, { deep: 'text' }], map: new Map([['key', new Set([1])]]) },
    small: Uint8Array.of(1, 2, 3),
    large: new Float64Array(200_000).fill(1.5),
    shared: new Float32Array(new SharedArrayBuffer(400_000)).fill(2.5),
  }
}

/** Changes all of them. */
export function spoil({ plain, small, large, shared }: ReturnType<typeof sentValues>): void {
  plain.nested.push(2)
  plain.map.clear()
  small.fill(9)
  large.fill(9)
  shared.fill(9)
}

/** An actor whose process ends in its first call of `receive`; the next one answers. */
export class Receiver implements ActorHooks {
  #isSecond = false

  onRestart(): void {
    this.#isSecond = true
  }

  receive(...values: unknown[]): Received {
    if (!this.#isSecond) process.exit(9)
    return { values, nodeId: currentActor()!.nodeId }
  }
}
export const RemoteReceiver = actor(import.meta.url, Receiver)

/** An actor that owns a receiver, has it placed anew when it dies, and changes what it has sent. */
export class Sender implements ActorHooks {
  #receiver: Handle<Receiver> | undefined

  supervise(): Decision {
    return 'replace'
  }

  async spawn(): Promise<string> {
    this.#receiver = await RemoteReceiver.options({ resources: { slot: 1 } }).spawn()
    return describeActor(this.#receiver).nodeId
  }

  async send(): Promise<Received> {
    const values = sentValues()
    const late = put(values.large)
    const received = withOptions(this.#receiver!, { maxRetries: 3 }).receive(
      values.plain,
      values.small,
      values.large,
      values.shared,
      late,
    )
    spoil(values)
    return await received
  }
}
export const RemoteSender = actor(import.meta.url, Sender)

/** Ends its process unless the file is there already. */
export function receiveAgain(file: string, ...values: unknown[]): unknown[] {
  if (existsSync(file)) return values
  writeFileSync(file, '')
  process.exit(9)
}
export const remoteReceiveAgain = remote(import.meta.url, receiveAgain)
