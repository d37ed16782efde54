import { appendFileSync, existsSync } from 'node:fs'
import { actor, type Handle, stopActor } from '@troupe/core'
import { until } from './until.js'

/** How the onStop of a closer goes: one that waits does so until there is a file beside its own, named FILE.go. */
export type Closing = 'ends' | 'waits' | 'hangs' | 'blocks' | 'throws'

/** An actor that notes in a file that its onStop has begun, and that it has ended. */
export class Closer {
  #child: Handle<Closer> | undefined
  #begun = 0

  constructor(
    private readonly file: string,
    private readonly label: string,
    private readonly closing: Closing = 'ends',
  ) {}

  /** A call that does not end. */
  never(): Promise<void> {
    return new Promise(() => {})
  }

  /** Takes a turn of the event loop, and tells how many of these calls have begun. */
  async pause(): Promise<number> {
    const begun = ++this.#begun
    await new Promise((resolve) => setImmediate(resolve))
    return begun
  }

  async spawn(label: string): Promise<void> {
    this.#child = await RemoteCloser.spawn(this.file, label)
  }

  async stopChild(): Promise<void> {
    await stopActor(this.#child!)
  }

  async onStop(): Promise<void> {
    appendFileSync(this.file, `${this.label} begins\n`)
    await new Promise((resolve) => setTimeout(resolve, 50))
    if (this.closing === 'throws') throw new Error('it cannot be closed')
    if (this.closing === 'hangs') await this.never()
    while (this.closing === 'blocks');
    if (this.closing === 'waits') await until(() => existsSync(`${this.file}.go`))
    appendFileSync(this.file, `${this.label} ends\n`)
  }
}
export const RemoteCloser = actor(import.meta.url, Closer)
