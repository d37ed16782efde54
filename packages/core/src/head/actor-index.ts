/** The keys of the index. */
interface Indexed {
  readonly id: string
  /** The process that owns it, and the driver at the root of that; empty where there is none. */
  readonly owner: string
  readonly driver: string
}

/**
 * Actors by what is asked for: to look through all of them whenever one starts or ends would cost the square of their number.
 */
export class ActorIndex<A extends Indexed> {
  readonly #actors = new Map<string, A>()
  readonly #owned = new Map<string, Set<A>>()
  readonly #inhabitants = new Map<string, A>()
  readonly #places = new WeakMap<A, { nodeId?: string | undefined; processId?: string | undefined }>()
  readonly #counts = new Map<string, number>()

  add(actor: A): void {
    this.#actors.set(actor.id, actor)
    for (const owner of ownersOf(actor)) {
      const owned = this.#owned.get(owner)
      if (owned) owned.add(actor)
      else this.#owned.set(owner, new Set([actor]))
    }
  }

  /** Whether it was there. */
  delete(actor: A): boolean {
    if (!this.#actors.delete(actor.id)) return false
    this.onNode(actor, undefined)
    this.inProcess(actor, undefined)
    for (const owner of ownersOf(actor)) {
      const owned = this.#owned.get(owner)
      owned?.delete(actor)
      if (owned?.size === 0) this.#owned.delete(owner)
    }
    return true
  }

  get(id: string): A | undefined {
    return this.#actors.get(id)
  }

  values(): IterableIterator<A> {
    return this.#actors.values()
  }

  /** The actors that a process owns, or that have a driver at their root. */
  ownedBy(owner: string): readonly A[] {
    return [...(this.#owned.get(owner) ?? [])]
  }

  /** The actor that a process is. */
  of(processId: string): A | undefined {
    return this.#inhabitants.get(processId)
  }

  countOn(nodeId: string): number {
    return this.#counts.get(nodeId) ?? 0
  }

  /** An actor is on a node from now on, or on none. */
  onNode(actor: A, nodeId: string | undefined): void {
    const place = this.#placeOf(actor)
    if (place.nodeId !== undefined) this.#count(place.nodeId, -1)
    if (nodeId !== undefined) this.#count(nodeId, 1)
    place.nodeId = nodeId
  }

  /** An actor has a process from now on, or none. */
  inProcess(actor: A, processId: string | undefined): void {
    const place = this.#placeOf(actor)
    if (place.processId !== undefined) this.#inhabitants.delete(place.processId)
    if (processId !== undefined) this.#inhabitants.set(processId, actor)
    place.processId = processId
  }

  #placeOf(actor: A): { nodeId?: string | undefined; processId?: string | undefined } {
    let place = this.#places.get(actor)
    if (!place) {
      place = {}
      this.#places.set(actor, place)
    }
    return place
  }

  #count(nodeId: string, by: 1 | -1): void {
    const count = this.countOn(nodeId) + by
    if (count === 0) this.#counts.delete(nodeId)
    else this.#counts.set(nodeId, count)
  }
}

function ownersOf({ owner, driver }: Indexed): Set<string> {
  return new Set([owner, driver].filter((id) => id !== ''))
}
