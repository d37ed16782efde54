import { actor } from '@troupe/core'

/** A class whose methods say what they do. */
export class Documented {
  /** Adds what it is given. */
  add(by: number): number {
    return by + 1
  }

  /** Counts up to a limit. */
  *count(limit: number): Generator<number> {
    for (let index = 0; index < limit; index++) yield index
  }

  /** Doubles a text or a number. */
  twice(value: string): string
  twice(value: number): number
  twice(value: string | number): string | number {
    return typeof value === 'string' ? value + value : 2 * value
  }

  /** Gives back what it is given. */
  echo = async <T>(value: T): Promise<T> => value
}
export const RemoteDocumented = actor(import.meta.url, Documented)

/** Calls every method through a handle. */
export async function callAll(): Promise<unknown[]> {
  const documented = await RemoteDocumented.spawn()
  const items: number[] = []
  for await (const item of documented.count(2)) items.push(item)
  return [await documented.add(1), items, await documented.twice('a'), await documented.echo(3)]
}
