import { collectGarbage } from '../common/collect-garbage.js'
import { ObjectLostError } from '../common/errors.js'
import type { Location } from '../protocol/location.js'
import type { OwnerService } from '../protocol/services.js'
import { control } from '../transport/control.js'
import { LinkLostError } from '../transport/link.js'
import type { Peer } from '../transport/peer.js'
import type { ObjectRef } from './ref.js'
import type { RemoteValue } from './remote-ref-state.js'
import { RemoteResultRef } from './remote-result-ref.js'
import type { Runtime } from './runtime.js'

/** After this many bytes of new results in other processes, garbage is collected: their refs weigh nothing here. */
const COLLECT_AFTER_BYTES = 256 * 2 ** 20

/** The means to have a result again that was lost. */
export interface Origin {
  /** Gives the value, or where it is now; throws if that cannot be. */
  again(lost: Location): Promise<unknown>
  /** The result cannot be lost any more. */
  done(): void
}

/** The results of this process's calls that stay with the processes which computed them. */
export class RemoteResultTable {
  readonly #refs = new Map<string, WeakRef<ObjectRef<unknown>>>()
  readonly #collected = new FinalizationRegistry<RemoteResultEntry>((value) => value.free())
  readonly #runtime: Runtime
  #newBytes = 0

  constructor(runtime: Runtime) {
    this.#runtime = runtime
  }

  /** The number of results that this process owns in others. */
  get size(): number {
    return this.#refs.size
  }

  /** Takes a result as the value of a ref. */
  adopt(ref: ObjectRef<unknown>, held: RemoteResultRef, origin: Origin): RemoteValue {
    const weak = new WeakRef(ref)
    const value: RemoteResultEntry = new RemoteResultEntry(held, origin, {
      connect: (location) => this.#runtime.reach(location.holder),
      moved: ({ id }, bytes) => this.#added(id, weak, bytes),
      left: ({ id }) => this.#refs.delete(id),
      freed: () => this.#collected.unregister(value),
    })
    this.#collected.register(ref, value, value)
    return value
  }

  /** Brings results over whose process is about to end. */
  async bring(ids: readonly string[]): Promise<void> {
    await Promise.all(ids.map((id) => this.#refs.get(id)?.deref()?.elsewhere?.bring()))
  }

  #added(id: string, ref: WeakRef<ObjectRef<unknown>>, bytes: number): void {
    this.#refs.set(id, ref)
    this.#newBytes += bytes
    if (this.#newBytes < COLLECT_AFTER_BYTES) return
    this.#newBytes = 0
    setTimeout(collectGarbage).unref()
  }
}

/** Callbacks of a held value, for the table that it is in. */
interface Keeper {
  connect(location: Location): Peer
  moved(location: Location, bytes: number): void
  left(location: Location): void
  freed(): void
}

class RemoteResultEntry implements RemoteValue {
  #held!: RemoteResultRef
  #peer!: Peer
  #location!: Location
  #isFreed = false
  readonly #origin: Origin
  readonly #keeper: Keeper

  constructor(held: RemoteResultRef, origin: Origin, keeper: Keeper) {
    this.#origin = origin
    this.#keeper = keeper
    this.#move(held)
  }

  get location(): Location {
    return this.#location
  }

  /** With the connection that the answer came on, the holder has lost the count of this process's refs, or its life. */
  get isLost(): boolean {
    return this.#peer.isLost
  }

  async fetch(): Promise<unknown> {
    if (this.#isFreed) throw new ObjectLostError(`the value of the ref ${this.#location.id} was released`)
    if (this.#peer.isLost) throw new LinkLostError('the connection to the process that held it broke')
    const outcome = await control<OwnerService>(this.#peer).fetch(this.#location.id)
    return 'value' in outcome ? outcome.value : undefined
  }

  async recover(): Promise<{ readonly value: unknown } | undefined> {
    if (this.#isFreed) throw new ObjectLostError(`the value of the ref ${this.#location.id} was released`)
    const found = await this.#origin.again(this.#location)
    if (!(found instanceof RemoteResultRef)) return { value: found }
    if (this.#isFreed) {
      found.ref.release()
      throw new ObjectLostError(`the value of the ref ${this.#location.id} was released`)
    }
    this.#leave()
    this.#move(found)
    return undefined
  }

  arrived(): void {
    this.#origin.done()
  }

  free(): void {
    if (this.#isFreed) return
    this.#isFreed = true
    this.#keeper.freed()
    this.#leave()
    this.#origin.done()
  }

  #move(held: RemoteResultRef): void {
    this.#held = held
    this.#location = held.location
    this.#peer = this.#keeper.connect(this.#location)
    this.#keeper.moved(this.#location, held.bytes)
  }

  #leave(): void {
    this.#keeper.left(this.#location)
    this.#held.ref.release()
  }
}
