import { threadId } from 'node:worker_threads'
import { type ActorHooks, actor, currentActor, currentCall, type Handle, type Isolation } from '@troupe/core'
import type { Tensor } from '@troupe/tensor'
import { type Counter, RemoteCounter } from './counter.js'

/** What ways to share a process are told apart by. */
export class Lodger implements ActorHooks {
  #kept: unknown

  keep(value: unknown): void {
    this.#kept = value
  }

  kept(): unknown {
    return this.#kept
  }

  change(list: number[]): number[] {
    list.push(0)
    return list
  }

  scale(tensor: Tensor<'float32'>, by: number): void {
    for (let index = 0; index < tensor.data.length; index++) tensor.data[index]! *= by
  }

  whereabouts() {
    return { pid: process.pid, thread: threadId, actor: currentActor(), method: currentCall()?.method }
  }

  /** The names that another one says it has, in calls one right after the other. */
  async ask(other: { whereabouts(): PromiseLike<{ actor?: { name: string } | undefined }> }, times: number) {
    const names = new Set<string | undefined>()
    for (let call = 0; call < times; call++) names.add((await other.whereabouts()).actor?.name)
    return [...names]
  }

  /** Who it is after its code has been elsewhere. */
  async whoLater(): Promise<(string | undefined)[]> {
    const names = [currentActor()?.name]
    await new Promise((resolve) => setTimeout(resolve, 1))
    names.push(currentActor()?.name)
    await Promise.all([new Promise(setImmediate), import('node:os')])
    return [...names, currentActor()?.name]
  }

  spawn(isolation: Isolation): Promise<Handle<Counter>> {
    return RemoteCounter.options({ isolation }).spawn(40)
  }

  environment(name: string): { value: string | undefined; folder: string; flags: string[] } {
    return { value: process.env[name], folder: process.cwd(), flags: process.execArgv }
  }

  print(...lines: string[]): void {
    for (const line of lines) console.log(line)
  }

  complain(line: string): void {
    console.error(line)
    process.exit(5)
  }

  spin(): void {
    for (;;);
  }

  exhaustMemory(): number {
    const lists: number[][] = []
    for (;;) lists.push(new Array(100_000).fill(lists.length))
  }

  supervise(): 'restart' {
    return 'restart'
  }
}
export const RemoteLodger = actor(import.meta.url, Lodger)
