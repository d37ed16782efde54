import { createRequire } from 'node:module'
import type { Dealer, Router } from 'zeromq'
import type { Secret } from './secret.js'
import { batchesOf, join, type Packet } from './wire.js'

/**
 * Draft options of libzmq that the binding has no names for. A ROUTER greets each connection and is told when one ends;
 * a DEALER is told when its connection breaks. All three come from libzmq's own threads, so they work while JavaScript
 * is busy.
 */
const drafts = { hello: 110, disconnect: 111, hiccup: 114 } as const

/** Options of CURVE that the binding takes as text only. */
const curve = { secretKey: 49, serverKey: 50 } as const

/** The text that a ROUTER reads in place of a message when a connection has ended. */
const ENDED = 'ended'
/** The text that a DEALER reads in place of a message when its connection has broken. */
const BROKEN = 'broken'

/**
 * A host that has vanished is noticed after these milliseconds of silence. A process that ends is noticed at once, so they can
 * be so many that one which is stopped for a while, or short of CPU, is not taken for dead.
 */
const SILENCE = 30_000
const HEARTBEAT = { heartbeatInterval: 1000, heartbeatTimeout: SILENCE, heartbeatTimeToLive: SILENCE }

/**
 * The bound of every queue is in the layer above, which keeps count of unanswered requests; with no mark here a send never
 * has to wait for one slow peer.
 */
const UNBOUNDED = { sendHighWaterMark: 0, receiveHighWaterMark: 0 }

/** ZeroMQ takes longer to load than the rest of a worker, and those whose cluster is one host never need it. */
const zeromq = (): typeof import('zeromq') => require('zeromq')
const require = createRequire(import.meta.url)

/** A socket that greets each connection, and reads {@link saysEnded} when one has ended. */
export function greetingRouter(greeting: string, secret: Secret): Router {
  const { Router } = zeromq()
  const router = new Router({ mandatory: true, linger: 0, curveServer: true, ...UNBOUNDED, ...HEARTBEAT })
  setOption(router, curve.secretKey, secret.curve.secretKey)
  setOption(router, drafts.hello, greeting)
  setOption(router, drafts.disconnect, ENDED)
  return router
}

/** A socket that reads {@link saysBroken} when its connection has broken. */
export function watchfulDealer(routingId: string, secret: Secret): Dealer {
  const { Dealer, curveKeyPair } = zeromq()
  const { publicKey, secretKey } = curveKeyPair()
  const own = { curvePublicKey: publicKey, curveSecretKey: secretKey }
  const dealer = new Dealer({ routingId, linger: 0, reconnectInterval: 10, ...own, ...UNBOUNDED, ...HEARTBEAT })
  setOption(dealer, curve.serverKey, secret.curve.publicKey)
  setOption(dealer, drafts.hiccup, BROKEN)
  return dealer
}

/** The binding has this for classes that extend its own. */
function setOption(socket: Router | Dealer, option: number, value: string | Buffer): void {
  const { setStringOption } = socket as unknown as { setStringOption(option: number, value: string | Buffer): void }
  setStringOption.call(socket, option, value)
}

export function saysEnded(frames: Uint8Array[]): boolean {
  return frames.length === 1 && isText(frames[0]!, ENDED)
}

export function saysBroken(frames: Uint8Array[]): boolean {
  return frames.length === 1 && isText(frames[0]!, BROKEN)
}

function isText(frame: Uint8Array, text: string): boolean {
  return frame.length === text.length && Buffer.compare(frame, Buffer.from(text)) === 0
}

interface Waiting {
  readonly destination: Uint8Array | undefined
  readonly packets: Packet[]
  readonly failed: (error: unknown) => void
}

/**
 * Sends packets over a socket, which takes one send at a time: what is posted meanwhile for the same destination goes out
 * as one message.
 */
export class Outbox {
  readonly #socket: { send(frames: Uint8Array[]): Promise<void> }
  #waiting = new Map<Uint8Array | undefined, Waiting>()
  #isRunning = false

  constructor(socket: { send(frames: Uint8Array[]): Promise<void> }) {
    this.#socket = socket
  }

  /** @param failed called when the destination cannot be reached */
  post(packet: Packet, destination: Uint8Array | undefined, failed: (error: unknown) => void): void {
    const waiting = this.#waiting.get(destination)
    if (waiting) waiting.packets.push(packet)
    else this.#waiting.set(destination, { destination, packets: [packet], failed })
    if (!this.#isRunning) void this.#run()
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    // Packets of the same turn go out together.
    await undefined
    while (this.#waiting.size > 0) {
      const batch = this.#waiting
      this.#waiting = new Map()
      for (const { destination, packets, failed } of batch.values()) {
        try {
          for (const batch of batchesOf(packets)) {
            const frames = join(batch)
            if (destination) frames.unshift(destination)
            await this.#socket.send(frames)
          }
        } catch (error) {
          failed(error)
        }
      }
    }
    this.#isRunning = false
  }
}
