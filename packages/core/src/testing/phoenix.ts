import { appendFileSync } from 'node:fs'
import { type ActorHooks, actor, currentCall, type Restart } from '@troupe/core'

/** An actor that dies on request and notes in a file what happens to it over all its lives. */
export class Phoenix implements ActorHooks {
  restart: Restart | undefined
  running = 0
  most = 0
  readonly #gates: (() => void)[] = []

  constructor(
    private readonly file: string,
    label = 'constructed',
  ) {
    this.note(label)
  }

  onStart(): void {
    this.note('onStart')
  }

  onRestart(restart: Restart): void {
    this.restart = restart
    this.note(`onRestart ${restart.restarts}`)
  }

  async onStop(): Promise<void> {
    await Promise.resolve()
    this.note('onStop')
  }

  note(line: string): string {
    appendFileSync(this.file, `${line}\n`)
    return line
  }

  reason(): string | undefined {
    return this.restart?.reason
  }

  pid(): number {
    return process.pid
  }

  /** Notes that it ran, and then ends its process unless it did so in an earlier life. */
  dieOnce(label: string): number {
    this.note(label)
    if (!this.restart) process.exit(9)
    return process.pid
  }

  crash(text: string): Promise<void> {
    console.error(text)
    setImmediate(() => {
      throw new RangeError('beyond the edge', { cause: new TypeError('the root') })
    })
    return new Promise(() => {})
  }

  /** Waits until `open` is called, and tells how many calls of it ran at a time at most. */
  async pass(): Promise<number> {
    this.running += 1
    this.most = Math.max(this.most, this.running)
    await new Promise<void>((resolve) => this.#gates.push(resolve))
    this.running -= 1
    return this.most
  }

  waiting(): number {
    return this.#gates.length
  }

  open(): void {
    for (const open of this.#gates.splice(0)) open()
  }

  /** Runs until its caller gives up. */
  async untilCancelled(label: string): Promise<void> {
    const { signal } = currentCall()!
    this.note(`${label} began`)
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve))
    this.note(`${label} aborted`)
  }
}
export const RemotePhoenix = actor(import.meta.url, Phoenix)
