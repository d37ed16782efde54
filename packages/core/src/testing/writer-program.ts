import { Channel, connect } from '@troupe/core'
import { RemoteChannelUser } from './channel-user.js'
import { crashActor } from './index.js'

/** A driver for tests that waits for room in a channel whose only reader is killed, and at its end for room and a message. */
const cluster = await connect({ onFailure() {}, onLog() {} })
const reader = await RemoteChannelUser.spawn()
const channel = new Channel<number>({ capacity: 1 })
await reader.open(channel.readers[0]!)
await channel.send(1)
crashActor(reader)
for (;;) {
  try {
    await channel.send(2)
  } catch (error) {
    process.stdout.write(`${error}\n`)
    break
  }
}
const full = new Channel<number>({ capacity: 1 })
await full.send(1)
const [own] = new Channel<number>().readers
const waiting = Promise.allSettled([full.send(2), own!.receive()])
await cluster.shutdown()
for (const outcome of await waiting) process.stdout.write(`${outcome.status === 'rejected' && outcome.reason}\n`)
