// A ring of sends: every rank passes on what it last received until each has seen what all others had. This is how keys and
// values travel in sequence parallelism, and how an all-gather can be built of messages.
import { actor, communicator, connect, type Invitation, isMain } from '@troupe/core'
import { Tensor } from '@troupe/tensor'

export class Link {
  async collect(invitation: Invitation, own: number): Promise<number[]> {
    const group = await invitation.join()
    const next = (group.rank + 1) % group.size
    const previous = (group.rank + group.size - 1) % group.size
    let held = Tensor.from('int32', [1], [own])
    let received = Tensor.zeros('int32', [1])
    const seen = [own]
    for (let step = 1; step < group.size; step++) {
      // Both at once: were every rank to send before it receives, large messages would wait for each other.
      await group.group(() => {
        group.send(next, held)
        group.receive(previous, received)
      })
      seen.push(received.data[0]!)
      ;[held, received] = [received, held]
    }
    return seen
  }
}

const RemoteLink = actor(import.meta.url, Link)

if (isMain(import.meta)) {
  await using _cluster = await connect()
  const links = await Promise.all([0, 1, 2, 3].map(() => RemoteLink.spawn()))
  const ring = communicator(links, { name: 'ring' })
  const seen = await Promise.all(links.map((link, i) => link.collect(ring, 10 * i)))
  for (const values of seen) console.log(values.join(' '))
}
