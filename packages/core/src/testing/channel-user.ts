import { actor, Channel, type ChannelReader } from '@troupe/core'
import { Tensor } from '@troupe/tensor'

/** An actor that reads from channels and writes to them. */
export class ChannelUser {
  #silent: Channel<number> | undefined
  #reader: ChannelReader<unknown> | undefined

  /** All that comes until the channel is closed. */
  async readAll<T>(reader: ChannelReader<T>): Promise<T[]> {
    const all: T[] = []
    for await (const value of reader) all.push(value)
    return all
  }

  /** Sums numbers with this thread asleep in between. */
  sumSync(reader: ChannelReader<number>, count: number): number {
    let sum = 0
    for (let left = count; left > 0; left--) sum += reader.receiveSync(10_000)
    return sum
  }

  /** Opens a reader, and takes nothing from it. */
  open(reader: ChannelReader<unknown>): number {
    this.#reader = reader
    reader.tryReceive()
    return process.pid
  }

  release(): void {
    this.#reader?.close()
  }

  /** Changes tensors where they are. */
  async double(reader: ChannelReader<Tensor<'float32'>>): Promise<number> {
    let count = 0
    for await (const { data } of reader) {
      for (let index = 0; index < data.length; index++) data[index]! *= 2
      count += 1
    }
    return count
  }

  /** Writes a number of values into a channel of its own, and gives its reader. */
  async count(limit: number, thenCloses = true): Promise<ChannelReader<number>> {
    const channel = new Channel<number>({ capacity: 4 })
    void (async () => {
      for (let value = 0; value < limit; value++) await channel.send(value)
      if (thenCloses) channel.close()
    })()
    return channel.readers[0]!
  }

  /** The reader of a channel that nothing is sent into. */
  silent(): ChannelReader<number> {
    this.#silent = new Channel<number>()
    return this.#silent.readers[0]!
  }

  sum(tensor: Tensor<'float32'>): number {
    return tensor.data.reduce((sum, value) => sum + value, 0)
  }

  fill(value: number, size: number): Tensor<'float32'> {
    return Tensor.from('float32', [size], new Array(size).fill(value))
  }
}
export const RemoteChannelUser = actor(import.meta.url, ChannelUser)
