import { actor, connect, currentActor } from '@troupe/core'

export class Greeter {
  greet(name: string): string {
    return `hello ${name}`
  }
}
export const RemoteGreeter = actor(import.meta.url, Greeter)

/** A program whose actor is in the same module: when it is guarded it connects only where it is not a worker. */
if (process.argv[2] === 'guarded') process.env.GUARDED = 'yes'
if (!process.env.GUARDED || !currentActor()) {
  await using _cluster = await connect()
  const greeter = await RemoteGreeter.spawn()
  process.stdout.write(`${await greeter.greet('world')}\n`)
}
