import type { DriverService, OwnerService, SealedOutcome } from '../protocol/services.js'
import type { PeerIdentity } from '../transport/link.js'
import { seal } from '../transport/sealed.js'
import { takeInventory } from './inventory.js'
import { collectNow } from './reclaim.js'
import type { Runtime } from './runtime.js'

/** Serves the processes that hold refs of this one: directly, or through the head where they cannot connect to it. */
export class OwnerServices {
  /** Values that were sealed for others and not opened yet, with whom they are for. */
  readonly #sealed = new Map<number, { readonly holder: string; readonly pins: (() => void)[] }>()
  #seals = 0

  constructor(private readonly runtime: Runtime) {}

  /** The requests that one process which holds refs may make. */
  servedTo(holder: string): OwnerService {
    const { objects } = this.runtime
    return {
      hold: (id) => objects.hold(id, holder),
      release: (id) => objects.release(id, holder),
      fetch: (id, lost) => objects.fetch(id, lost),
    }
  }

  /** The requests that the head may make, for itself and for processes that hold refs. */
  get forHead(): Omit<DriverService, 'supervise' | 'unhandled'> {
    const { objects } = this.runtime
    return {
      holdFor: (id, holder) => objects.hold(id, holder),
      releaseFor: (id, holder) => objects.release(id, holder),
      fetchSealed: (id, holder, lost) => this.#seal(id, holder, lost),
      opened: (pin) => this.#unpin(pin),
      holderGone: (holder) => {
        objects.holderGone(holder)
        for (const [pin, sealed] of this.#sealed) if (sealed.holder === holder) this.#unpin(pin)
      },
      inventory: () => takeInventory(this.runtime),
      collect: collectNow,
    }
  }

  async #seal(id: string, { processId, nodeId }: PeerIdentity, lost?: string): Promise<SealedOutcome> {
    const { objects, self } = this.runtime
    const { sealed, pins } = seal(await objects.fetch(id, lost), 'the value of a ref', nodeId === self.nodeId)
    if (pins.length === 0) return { sealed, pin: undefined }
    const pin = ++this.#seals
    this.#sealed.set(pin, { holder: processId, pins })
    return { sealed, pin }
  }

  #unpin(pin: number): void {
    const sealed = this.#sealed.get(pin)
    this.#sealed.delete(pin)
    for (const release of sealed?.pins ?? []) release()
  }
}
