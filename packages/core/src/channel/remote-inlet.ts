import { ChannelClosedError } from '../common/errors.js'
import { currentRuntime } from '../runtime/current.js'
import type { OwnerData } from '../runtime/ref-codec.js'
import { encode } from '../transport/codec.js'
import type { AnswerHandler } from '../transport/handlers.js'
import type { LinkLostError } from '../transport/link.js'
import type { Peer } from '../transport/peer.js'
import { STREAM_WINDOW } from '../transport/wire.js'
import type { ChannelService } from './channel-table.js'
import type { Inlet } from './inlet.js'
import { NOTHING } from './message.js'

/** A message that came over a connection. */
export interface RemoteMessage {
  readonly value: unknown
  readonly isFailure: boolean
}

/** A reader whose writer is on another node: the writer's process sends the messages as a stream. */
export class RemoteInlet implements Inlet, AnswerHandler {
  readonly native = undefined
  isFailure = false
  isClosed = false
  readonly #peer: Peer
  readonly #request: number
  readonly #messages: RemoteMessage[] = []
  #taken = 0
  #end: ChannelClosedError | undefined
  #woken: (() => void) | undefined

  constructor(id: string, index: number, owner: OwnerData) {
    const peer = currentRuntime().peerOf(owner)
    if (!peer) {
      throw new ChannelClosedError(
        `the writer of the channel is a driver that has no connection to this process; pass the reader to an actor that the driver calls itself`,
      )
    }
    this.#peer = peer
    const method = 'readChannel' satisfies keyof ChannelService
    this.#request = peer.request({ target: '', method, args: encode([id, index], 'arguments', peer.sameNode) }, this)
  }

  poll(): boolean {
    return this.#messages.length > 0
  }

  next(): unknown {
    const message = this.#messages.shift()
    if (!message) return NOTHING
    const { value, isFailure } = message
    this.isFailure = isFailure
    if (++this.#taken >= STREAM_WINDOW / 2) {
      if (!this.#end) this.#peer.credit(this.#request, this.#taken)
      this.#taken = 0
    }
    return value
  }

  arm(woken: () => void): boolean {
    if (this.#messages.length > 0 || this.#end) return false
    this.#woken = woken
    return true
  }

  disarm(): void {
    this.#woken = undefined
  }

  get ending(): ChannelClosedError | undefined {
    return this.#end
  }

  close(): void {
    this.disarm()
    if (this.#end) return
    this.#end = new ChannelClosedError('this reader was closed')
    this.#peer.cancel(this.#request)
  }

  item(message: unknown): void {
    this.#messages.push(message as RemoteMessage)
    this.#news()
  }

  end(): void {
    this.isClosed = true
    this.#finish(new ChannelClosedError('the channel was closed by its writer'))
  }

  result(): void {
    this.failure(new Error('it sent no stream'))
  }

  failure(error: unknown): void {
    this.#finish(
      error instanceof ChannelClosedError
        ? error
        : new ChannelClosedError(`the channel failed: ${error}`, { cause: error }),
    )
  }

  lost(error: LinkLostError): void {
    this.#finish(new ChannelClosedError(`the writer of the channel has gone: ${error.message}`, { cause: error }))
  }

  #finish(end: ChannelClosedError): void {
    this.#end ??= end
    this.#news()
  }

  #news(): void {
    const woken = this.#woken
    this.#woken = undefined
    woken?.()
  }
}
