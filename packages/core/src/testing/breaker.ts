import { actor } from '@troupe/core'
import { Communicator, Tensor } from '@troupe/tensor'

/** An actor whose group breaks. */
export class Breaker {
  /** Runs an operation in a group whose other rank leaves. */
  async reduceAlone(): Promise<void> {
    const [first, second] = [0, 1].map(
      (rank) => new Communicator({ rank, size: 2, name: 'broken', node: 'a', token: `breaker ${process.pid}` }),
    ) as [Communicator, Communicator]
    const addresses = [first.address, second.address]
    await Promise.all([first.connect(addresses), second.connect(addresses)])
    second.abort('it was asked to')
    await first.allReduce(Tensor.zeros('float32', [2, 2]))
  }
}
export const RemoteBreaker = actor(import.meta.url, Breaker)
