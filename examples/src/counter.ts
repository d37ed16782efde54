// The smallest actor: a class whose instance lives in a process of its own. Its methods are typed remote calls, a generator
// method is a stream, and the actor comes back from a kill -9 because it was spawned with a restart.
import { actor, connect, currentActor, describeActor, withOptions } from '@troupe/core'

export class Counter {
  constructor(private n = 0) {}

  add(by = 1): number {
    this.n += by
    return this.n
  }

  *countTo(limit: number) {
    while (this.n < limit) yield ++this.n
  }
}

export const RemoteCounter = actor(import.meta.url, Counter)

// Workers import this module too; only the program itself connects.
if (!currentActor()) {
  await using _cluster = await connect()
  const counter = await RemoteCounter.options({ maxRestarts: 1 }).spawn(10)
  console.log(await counter.add(5))
  for await (const n of counter.countTo(18)) console.log(n)

  process.kill(describeActor(counter).pid, 'SIGKILL')
  // What was in the counter's fields is lost; it is constructed again from the same arguments.
  console.log(await withOptions(counter, { maxRetries: 1 }).add(1))
}
