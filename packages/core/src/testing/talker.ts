import { actor } from '@troupe/core'

/** An actor that says much before it ends. */
export class Talker {
  /** Writes a line of so many characters and then some, all at once, and exits. */
  exitAfter(characters: number, ...lines: string[]): void {
    console.log('y'.repeat(characters))
    console.error('x'.repeat(characters))
    for (const line of lines) console.error(line)
    process.exit(1)
  }

  exhaust(): void {
    exhaust()
  }
}
export const RemoteTalker = actor(import.meta.url, Talker)

function exhaust(): void {
  for (const kept: unknown[] = []; ; ) kept.push(new Array(1000).fill(Math.random()))
}
