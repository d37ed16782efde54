import type { Socket } from 'node:net'
import { actor, type Handle, type ObjectRef, remote } from '@troupe/core'
import type { Counter } from './counter.js'

export interface Entry {
  readonly word: string
  readonly notes?: Map<object, Set<Date>>
}

/** An actor whose methods have types of all kinds. */
export class Translator {
  /** A number as its digits, a word as its length. */
  translate(word: string): number
  translate(value: number, base?: number): string
  translate(value: string | number, base = 10): string | number {
    return typeof value === 'string' ? value.length : value.toString(base)
  }

  same<T extends Entry>(entry: T): T {
    return entry
  }

  /** What cannot be sent, in ways that types tell of. */
  listen(_socket: Socket): void {}
  watch(_word: string, _changed: (word: string) => void): void {}
  either(value: string | (() => string)): string {
    return typeof value === 'string' ? value : value()
  }
  all(..._callbacks: (() => void)[]): void {}

  /** What can be sent although it looks as if it could not. */
  count(counter: Handle<Counter>, entries: readonly Entry[], total: number | ObjectRef<number>): Promise<number> {
    return Promise.resolve(counter.add(entries.length)).then(async (sum) => sum + (await total))
  }

  anything(value: unknown): unknown {
    return value
  }
}
export const RemoteTranslator = actor(import.meta.url, Translator)

export function pick(list: string[]): string
export function pick(list: number[], index: number): number
export function pick(list: (string | number)[], index = 0): string | number {
  return list[index]!
}
export const remotePick = remote(import.meta.url, pick)
