// A service that outlives the program that started it: a detached actor with a name. Every driver that connects to the same
// cluster with the same namespace finds it.
//
//   troupe start --head --port 6380
//   node examples/dist/named-service.js 127.0.0.1:6380 ada     # starts the service
//   node examples/dist/named-service.js 127.0.0.1:6380 grace   # finds it
import { actor, connect, isMain } from '@troupe/core'

export class GuestBook {
  private readonly guests: string[] = []

  sign(guest: string): string[] {
    this.guests.push(guest)
    return this.guests
  }
}

const RemoteGuestBook = actor(import.meta.url, GuestBook)

if (isMain(import.meta)) {
  const [, , address, guest] = process.argv
  await using _cluster = await connect({ address: address!, namespace: 'hotel' })
  const service = RemoteGuestBook.options({ name: 'guest-book', detached: true, getIfExists: true })
  const book = await service.spawn()
  console.log((await book.sign(guest!)).join(', '))
}
