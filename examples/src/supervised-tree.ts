// A tree of actors: a parent owns the workers that it spawns, and they end with it. When a worker dies, its parent decides
// that it is started again, calls that were lost are made again, and the parent's own death takes the whole tree down.
import type { ActorHooks, Handle, Restart } from '@troupe/core'
import { actor, connect, describeActor, isMain, killActor } from '@troupe/core'

export class Worker implements ActorHooks {
  private lives = 1

  onRestart({ restarts }: Restart): void {
    this.lives = 1 + restarts
  }

  /** Dies of its first unlucky number. */
  work(n: number): string {
    if (n === 13 && this.lives === 1) process.exit(13)
    return `${n} in life ${this.lives}`
  }
}

export class Parent implements ActorHooks {
  private workers: Handle<Worker>[] = []

  supervise() {
    return 'restart' as const
  }

  async onStart(): Promise<void> {
    const resilient = RemoteWorker.options({ maxTaskRetries: 1 })
    this.workers = await Promise.all([resilient.spawn(), resilient.spawn()])
  }

  async run(numbers: number[]): Promise<string[]> {
    return Promise.all(numbers.map((n) => this.workers[n % this.workers.length]!.work(n)))
  }

  members(): Handle<Worker>[] {
    return this.workers
  }
}

const RemoteWorker = actor(import.meta.url, Worker)
const RemoteParent = actor(import.meta.url, Parent)

if (isMain(import.meta)) {
  await using cluster = await connect()
  const parent = await RemoteParent.spawn()
  for (const line of await parent.run([11, 12, 13])) console.log(line)
  const names = (await parent.members()).map((worker) => describeActor(worker).name)
  await killActor(parent)
  while ((await cluster.actors()).some(({ name }) => names.includes(name)));
  console.log(`${names.length} workers ended with their parent`)
}
