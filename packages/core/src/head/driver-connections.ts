import { ObjectLostError } from '../common/errors.js'
import type { ActorFailure, Decision } from '../common/hooks.js'
import type { DriverService, HeadEvents, SealedOutcome } from '../protocol/services.js'
import { LogSender } from '../runtime/log-sender.js'
import { control, type Remote } from '../transport/control.js'
import { LinkLostError, type PeerIdentity } from '../transport/link.js'
import type { Peer } from '../transport/peer.js'
import type { WorkerPool } from './worker-pool.js'

/** The connections with the drivers, which others reach through the head. */
export class DriverConnections {
  readonly #peers = new Map<string, Peer>()
  readonly #logSenders = new WeakMap<Peer, LogSender>()

  constructor(private readonly workers: WorkerPool) {}

  add(processId: string, peer: Peer): void {
    this.#peers.set(processId, peer)
  }

  remove(processId: string): void {
    this.#peers.delete(processId)
  }

  get peers(): ReadonlyMap<string, Peer> {
    return this.#peers
  }

  /** Sends a line of output; false where there is no such driver. */
  log(processId: string, line: string): boolean {
    const peer = this.#peers.get(processId)
    if (peer) this.#logTo(peer).send(line)
    return peer !== undefined
  }

  /** Tells a driver of a failure that nobody has handled, of an actor that belongs to it. */
  unhandled(processId: string, failure: ActorFailure): void {
    this.#peers.get(processId)?.notify('unhandled' satisfies keyof DriverService, failure)
  }

  /** Tells the drivers that a process has gone which may hold refs of theirs. */
  holderGone(processId: string): void {
    for (const peer of this.#peers.values()) peer.notify('holderGone' satisfies keyof DriverService, processId)
  }

  /** Has an owner decide about an actor; undefined where it has no supervisor, or has gone. */
  async supervise(processId: string, failure: ActorFailure): Promise<Decision | undefined> {
    const driver = this.#peers.get(processId)
    const supervisor = driver ? control<DriverService>(driver) : this.workers.of(processId)?.service
    return supervisor?.supervise(failure).catch(() => undefined)
  }

  async ask(driver: string, what: 'hold' | 'release', id: string, holder: string): Promise<void> {
    await this.#with(driver, id, (service) => {
      return what === 'hold' ? service.holdFor(id, holder) : service.releaseFor(id, holder)
    })
  }

  async #with<T>(driver: string, id: string, ask: (service: Remote<DriverService>) => Promise<T>): Promise<T> {
    const peer = this.#peers.get(driver)
    if (!peer) throw new ObjectLostError(`the value of the ref ${id} was lost with the driver that owned it`)
    try {
      return await ask(control<DriverService>(peer))
    } catch (error) {
      if (!(error instanceof LinkLostError)) throw error
      throw new ObjectLostError(`the value of the ref ${id} was lost with the driver that owned it`)
    }
  }

  /** Asks a driver for a ref's value, for another process. */
  fetch(driver: string, id: string, holder: PeerIdentity, lost?: string): Promise<SealedOutcome> {
    return this.#with(driver, id, (service) => service.fetchSealed(id, holder, lost))
  }

  /** Tells a driver that what it had sealed has been opened. */
  opened(driver: string, pin: number): void {
    this.#peers.get(driver)?.notify('opened' satisfies keyof DriverService, pin)
  }

  #logTo(peer: Peer): LogSender {
    let sender = this.#logSenders.get(peer)
    if (!sender) {
      sender = new LogSender((line) => control<HeadEvents>(peer).log(line))
      this.#logSenders.set(peer, sender)
    }
    return sender
  }
}
