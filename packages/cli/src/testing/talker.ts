import { actor } from '@troupe/core'

/** An actor that prints what it is told. */
export class Talker {
  async say(lines: string[]): Promise<void> {
    for (const line of lines) await new Promise<void>((resolve) => process.stdout.write(`${line}\n`, () => resolve()))
  }
}
export const RemoteTalker = actor(import.meta.url, Talker)
