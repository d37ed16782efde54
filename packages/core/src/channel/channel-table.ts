import { ChannelClosedError } from '../common/errors.js'
import type { RuntimeService } from '../runtime/runtime.js'

/** Requests that readers of other nodes make of a process. */
export interface ChannelService {
  /** The messages for one reader of a channel. */
  readChannel(id: string, index: number): AsyncIterable<unknown>
}

/** A channel, as its table reads it for processes of other nodes. */
export interface Readable {
  /** The messages for a reader that this process reads for another. */
  messagesFor(index: number): AsyncIterable<unknown>
}

/** The channels of this process whose readers were sent to others. */
export class ChannelTable implements RuntimeService {
  readonly #channels = new Map<string, Readable>()
  readonly #endings = new Set<(reason: string) => void>()

  add(id: string, channel: Readable): void {
    this.#channels.set(id, channel)
  }

  remove(id: string): void {
    this.#channels.delete(id)
  }

  /**
   * Has a function called when this process leaves its cluster, where nothing more comes or goes through a channel.
   *
   * @returns takes it back
   */
  onEnd(act: (reason: string) => void): () => void {
    this.#endings.add(act)
    return () => this.#endings.delete(act)
  }

  end(reason: string): void {
    for (const act of [...this.#endings]) act(reason)
  }

  /** The requests that readers of other nodes may make. */
  readonly served: ChannelService = {
    readChannel: (id, index) => {
      const channel = this.#channels.get(id)
      if (!channel) throw new ChannelClosedError(`the channel ${id} was closed by its writer`)
      return channel.messagesFor(index)
    },
  }
}
