import { ChannelClosedError } from '../api/errors.js'

/** What a process serves to readers of other nodes. */
export interface ChannelRequests {
  /** The messages for one reader of a channel. */
  readChannel(id: string, index: number): AsyncIterable<unknown>
}

/** What a channel gives to its table. */
export interface Readable {
  /** The messages for a reader that this process reads for another. */
  messagesFor(index: number): AsyncIterable<unknown>
}

/** The channels of this process whose readers were sent to others. */
export class ChannelTable {
  readonly #channels = new Map<string, Readable>()

  add(id: string, channel: Readable): void {
    this.#channels.set(id, channel)
  }

  remove(id: string): void {
    this.#channels.delete(id)
  }

  /** What readers of other nodes are served with. */
  readonly served: ChannelRequests = {
    readChannel: (id, index) => {
      const channel = this.#channels.get(id)
      if (!channel) throw new ChannelClosedError(`the channel ${id} was closed by its writer`)
      return channel.messagesFor(index)
    },
  }
}
