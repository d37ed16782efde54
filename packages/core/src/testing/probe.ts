import { existsSync } from 'node:fs'
import { actor, currentActor, describeActor, type Handle } from '@troupe/core'
import { type Counter, RemoteCounter } from './counter.js'
import { until } from './until.js'

class OddError extends Error {
  override readonly name = 'OddError'
  constructor(
    message: string,
    readonly code: number,
  ) {
    super(message, { cause: new TypeError('the reason') })
  }
}

/** An actor that misbehaves on request. */
export class Probe {
  readonly seen: unknown[] = []
  produced = 0
  stopped = false

  echo<T>(value: T): T {
    return value
  }

  async see(value: unknown, milliseconds = 0): Promise<unknown[]> {
    if (milliseconds > 0) await new Promise((resolve) => setTimeout(resolve, milliseconds))
    this.seen.push(value)
    return this.seen
  }

  throwTypeError(): void {
    throw new TypeError('expected a type')
  }

  throwOddError(): void {
    throw new OddError('odd', 7)
  }

  throwText(): void {
    throw 'just text'
  }

  unsendable(): unknown {
    return { nested: [() => 1] }
  }

  /** Adds through another actor, which may be in another process. */
  async addThrough(counter: Handle<Counter>, by: number): Promise<number> {
    return await counter.add(by)
  }

  /** Adds through the counter that it saw first. */
  async addThroughSeen(by: number): Promise<number> {
    return await (this.seen[0] as Handle<Counter>).add(by)
  }

  async spawnCounter(): Promise<{ handle: Handle<Counter>; pid: number }> {
    const handle = await RemoteCounter.spawn(0)
    return { handle, pid: describeActor(handle).pid }
  }

  async *produce(count: number): AsyncGenerator<number> {
    try {
      for (let index = 0; index < count; index++) {
        this.produced++
        yield index
      }
    } finally {
      this.stopped = true
    }
  }

  /** Returns a stream without being a generator itself. */
  delegate(count: number): AsyncGenerator<number> {
    return this.produce(count)
  }

  async *produceAndFail(): AsyncGenerator<number> {
    yield 1
    yield 2
    throw new RangeError('no third')
  }

  progress(): { produced: number; stopped: boolean } {
    return { produced: this.produced, stopped: this.stopped }
  }

  async never(): Promise<void> {
    await new Promise(() => {})
  }

  /** Keeps its thread busy until a file is there. */
  spinUntil(file: string): void {
    while (!existsSync(file));
  }

  /** A large answer, once a file is there. */
  async largeWhen(file: string): Promise<Float64Array> {
    this.produced = 1
    await until(() => existsSync(file))
    return new Float64Array(4_000_000 / 8)
  }

  /** Asks another one for that, and tells how many bytes it got. */
  async askLarge(other: Handle<Probe>, file: string): Promise<number> {
    return (await other.largeWhen(file)).byteLength
  }

  exit(code: number): void {
    process.exit(code)
  }

  async throwOutsideOfACall(): Promise<void> {
    setTimeout(() => {
      throw new Error('thrown outside of a call')
    }, 0)
    await this.never()
  }

  surroundings(): { flags: string[]; folder: string } {
    return { flags: process.execArgv, folder: process.cwd() }
  }

  environment(name: string): string | undefined {
    return process.env[name]
  }

  whoami() {
    return { actor: currentActor(), env: process.env.PROBE, title: process.title }
  }
}
export const RemoteProbe = actor(import.meta.url, Probe)
