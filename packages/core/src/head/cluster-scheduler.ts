import { InvalidInputError } from '../common/errors.js'
import type { BundlePlace, GroupInfo, GroupRequest, PlacementStrategy } from '../protocol/placement.js'
import type { Resources } from '../protocol/resources.js'
import { PendingQueue, type Waiter } from './pending-queue.js'
import type { Node, Owner } from './records.js'
import { ResourcePool, type Taken } from './resource-pool.js'

/** Demand of an actor, a task or a placement group for resources, and where. */
export interface Demand {
  /** The name of the actor, task or group that asks, in messages. */
  readonly what: string
  readonly resources: Resources
  readonly nodeId?: string | undefined
  /** Labels that its node must have. */
  readonly labels?: Readonly<Record<string, string>> | undefined
  /** The bundle it must come out of. */
  readonly bundle?: BundlePlace | undefined
  /** The process that asks, and the driver that it belongs to. */
  readonly owner?: string | undefined
  readonly driver?: string | undefined
  /** The actor that it is for. */
  readonly actor?: string | undefined
  /** Whether it is for a task that another one waits for. */
  readonly isNested?: boolean | undefined
  /** The node to prefer where several fit. */
  readonly preferred?: string | undefined
}

/** Resources on a node, held until they are released. */
export interface Grant {
  readonly node: Node
  readonly taken: Taken
  readonly pool: ResourcePool
  readonly group?: string | undefined
}

interface Bundle {
  readonly grant: Grant
  readonly pool: ResourcePool
}

/** A placement group. The bundles of a node that has gone are reserved anew once that is possible. */
interface Group {
  readonly request: GroupRequest
  readonly waiter: Waiter
  readonly bundles: Bundle[]
  /** Whether bundles of it wait for resources elsewhere. */
  isWaiting: boolean
}

/**
 * Hands out the resources of the nodes. A demand that does not fit yet waits; {@link PendingQueue} says which others may
 * pass it.
 */
export class ClusterScheduler {
  readonly #nodes: ReadonlyMap<string, Node>
  readonly #groups = new Map<string, Group>()
  readonly #line: PendingQueue
  readonly #load: (nodeId: string) => number

  /** @param load tells how busy a node is, where several fit */
  constructor(
    nodes: ReadonlyMap<string, Node>,
    load: (nodeId: string) => number,
    warn: (message: string, driver: string | undefined) => void,
  ) {
    this.#nodes = nodes
    this.#load = load
    this.#line = new PendingQueue(warn)
  }

  /**
   * Takes resources once they are free.
   *
   * @throws InvalidInputError if no node could ever have them, or the node or the group is unknown
   * @throws QueueFullError if too many demands wait already
   */
  async acquire(demand: Demand): Promise<Grant> {
    const granted = this.take(demand)
    if (granted) return granted
    const isReported = demand.actor !== undefined
    const { resources, nodeId, labels, bundle, isNested } = demand
    return this.#line.wait(demand, isReported, {
      kind: JSON.stringify([resources, nodeId, labels, bundle, isNested]),
      attempt: (place) => this.take(demand, place),
      missing: () => this.#missing(demand),
      wanted: () => this.#nearest(demand),
    })
  }

  /**
   * Takes resources if they are free now; throws as {@link acquire}.
   *
   * @param place the demand's place in the line, if it waits
   */
  take(demand: Demand, place?: number): Grant | undefined {
    const pools = this.#candidates(demand)
    if (pools.length > 0 && pools.every(({ pool }) => pool.neverHas(demand.resources).length > 0)) {
      const best = pools.map(({ pool }) => pool.neverHas(demand.resources)).sort((a, b) => a.length - b.length)[0]!
      throw new InvalidInputError(`${demand.what} can be placed nowhere: the best place lacks ${best.join(', ')}`)
    }
    const fitting = pools.filter(({ pool }) => {
      return pool.lacks(demand.resources).length === 0 && !this.#line.keeps(pool, demand, place)
    })
    const best = leastBy(fitting, ({ node }) => (node.id === demand.preferred ? -1 : this.#load(node.id)))
    if (!best) return undefined
    const { node, pool } = best
    return { node, pool, taken: pool.take(demand.resources)!, group: demand.bundle?.group }
  }

  release({ pool, taken }: Grant): void {
    pool.give(taken)
    this.#line.attempt()
  }

  /** Lets others use what a holder does not use while it waits. */
  lend({ pool, taken }: Grant): void {
    pool.give(taken)
    this.#line.attempt()
  }

  takeBack({ pool, taken }: Grant): void {
    pool.retake(taken)
  }

  /** Gives up the demands that wait and that the function chooses. */
  drop(isDropped: (demand: Waiter) => boolean): void {
    this.#line.drop(isDropped)
  }

  /** Reserves resources together, once all are free. */
  async reserve(
    request: GroupRequest,
    { processId: owner, driver }: Pick<Owner, 'processId' | 'driver'>,
  ): Promise<string[]> {
    const { id: group, bundles, strategy } = request
    const what = `the placement group ${group}`
    const nodes = [...this.#nodes.values()]
    if (!layOut(nodes.map(emptied), bundles, strategy)) {
      const asked = bundles.map((bundle) => JSON.stringify(bundle)).join(', ')
      throw new InvalidInputError(`${what} can be placed nowhere: ${strategy} of ${asked} over ${nodes.length} nodes`)
    }
    const resources: Record<string, number> = Object.assign({}, ...bundles)
    const waiter = { what, owner, driver, resources }
    const attempt = (place?: number) => this.#reserve(request, waiter, place)
    const reserved =
      attempt() ??
      (await this.#line.wait(waiter, true, {
        attempt,
        missing: () => `${strategy} of ${bundles.length} bundles`,
        wanted: () => [...this.#nodes.values()].map(({ pool }) => pool),
      }))
    return reserved.map(({ grant }) => grant.node.id)
  }

  /** Gives the resources of a placement group back. Their holders must have been ended before. */
  remove(group: string): void {
    const bundles = this.#groups.get(group)?.bundles ?? []
    this.#groups.delete(group)
    for (const { grant } of bundles) grant.pool.give(grant.taken)
    this.#line.attempt()
  }

  /** The placement groups that are reserved, with the nodes of their bundles. */
  groups(): GroupInfo[] {
    return [...this.#groups].map(([id, { bundles }]) => {
      const nodeOf = (bundle: Bundle) => (this.#isLost(bundle) ? '' : bundle.grant.node.id)
      return { id, bundles: bundles.map((bundle) => ({ nodeId: nodeOf(bundle), ...poolInfo(bundle.pool) })) }
    })
  }

  /** The nodes have changed: what waits may fit now, or never will. */
  nodesChanged(): void {
    for (const group of this.#groups.values()) {
      if (group.isWaiting || this.#replaceLost(group)) continue
      group.isWaiting = true
      void this.#replaceLater(group)
    }
    this.#line.attempt()
  }

  async #replaceLater(group: Group): Promise<void> {
    try {
      await this.#line.wait(group.waiter, true, {
        attempt: () => this.#replaceLost(group) || undefined,
        missing: () => 'a node in place of one that has gone',
        wanted: () => [],
      })
    } catch {
      // Its owner has gone, or too many wait already: the next change of the nodes is its next chance.
    }
    group.isWaiting = false
  }

  #isLost({ grant: { node } }: Bundle): boolean {
    return this.#nodes.get(node.id) !== node
  }

  /** Reserves elsewhere what a group had on nodes that have gone; whether nothing of it is missing then. */
  #replaceLost({ request, bundles }: Group): boolean {
    if (!this.#groups.has(request.id)) return true
    const lost = [...bundles.keys()].filter((index) => this.#isLost(bundles[index]!))
    if (lost.length === 0) return true
    const used = new Set(bundles.filter((bundle) => !this.#isLost(bundle)).map(({ grant }) => grant.node))
    const free = [...this.#nodes.values()].filter((node) => request.strategy !== 'STRICT_SPREAD' || !used.has(node))
    const wanted = lost.map((index) => request.bundles[index]!)
    const replaced = this.#take(free, wanted, request.strategy)
    if (!replaced) return false
    for (const [place, index] of lost.entries()) bundles[index] = replaced[place]!
    // Actors and tasks that wait for these bundles may stand before them in line.
    setImmediate(() => this.#line.attempt())
    return true
  }

  #reserve(request: GroupRequest, waiter: Waiter, place?: number): Bundle[] | undefined {
    const free = [...this.#nodes.values()].filter(({ pool }) => !this.#line.keeps(pool, waiter, place))
    const bundles = this.#take(free, request.bundles, request.strategy)
    if (bundles) this.#groups.set(request.id, { request, waiter, bundles: [...bundles], isWaiting: false })
    return bundles
  }

  /** Takes bundles out of nodes, if they fit together. */
  #take(free: Node[], bundles: readonly Resources[], strategy: PlacementStrategy): Bundle[] | undefined {
    const nodes = free.sort((left, right) => this.#load(left.id) - this.#load(right.id))
    const places = layOut(nodes.map(current), bundles, strategy)
    if (!places) return undefined
    return places.map((place, index): Bundle => {
      const node = nodes[place]!
      const taken = node.pool.take(bundles[index]!)!
      const gpu = (bundles[index]!.gpu ?? 0) / Math.max(1, taken.gpus.length)
      const gpus = taken.gpus.map((number) => [number, gpu] as const)
      return { grant: { node, pool: node.pool, taken }, pool: new ResourcePool(bundles[index]!, gpus) }
    })
  }

  #candidates({ what, nodeId, labels, bundle }: Demand): { node: Node; pool: ResourcePool }[] {
    if (bundle) {
      const chosen = this.#groups.get(bundle.group)?.bundles[bundle.index]
      if (!chosen) throw new InvalidInputError(`${what} names bundle ${bundle.index} of a placement group without it`)
      return this.#isLost(chosen) ? [] : [{ node: chosen.grant.node, pool: chosen.pool }]
    }
    if (nodeId !== undefined && !this.#nodes.has(nodeId)) {
      throw new InvalidInputError(`no node ${nodeId} is in the cluster; cluster.nodes() lists them`)
    }
    const nodes = [...this.#nodes.values()].filter((node) => {
      const isLabelled = Object.entries(labels ?? {}).every(([name, value]) => node.labels[name] === value)
      return isLabelled && (nodeId === undefined || node.id === nodeId)
    })
    if (nodes.length === 0) throw new InvalidInputError(`no node has the labels ${JSON.stringify(labels)} of ${what}`)
    return nodes.map((node) => ({ node, pool: node.pool }))
  }

  /** The same, but none if the demand names a node or a group that has gone since it was made. */
  #candidatesOrNone(demand: Demand): { node: Node; pool: ResourcePool }[] {
    try {
      return this.#candidates(demand)
    } catch {
      return []
    }
  }

  #missing(demand: Demand): string {
    const lacks = this.#candidatesOrNone(demand).map(({ pool }) => pool.lacks(demand.resources))
    return lacks.sort((left, right) => left.length - right.length)[0]?.join(', ') ?? 'a node that has gone'
  }

  /** The pools where a demand could be met soonest, by the number of resources that they lack. */
  #nearest(demand: Demand): ResourcePool[] {
    const able = this.#candidatesOrNone(demand).filter(({ pool }) => pool.neverHas(demand.resources).length === 0)
    const nearest = leastBy(able, ({ pool }) => pool.lacks(demand.resources).length)
    return nearest ? [nearest.pool] : []
  }
}

/** The first of those for which a number is the least. */
function leastBy<T>(items: readonly T[], numberOf: (item: T) => number): T | undefined {
  let best: T | undefined
  let least = Number.POSITIVE_INFINITY
  for (const item of items) {
    const number = numberOf(item)
    if (best !== undefined && number >= least) continue
    best = item
    least = number
  }
  return best
}

function poolInfo({ total, free }: ResourcePool): { resources: Resources; free: Resources } {
  return { resources: total, free }
}

interface Room {
  free: Record<string, number>
}

function current({ pool }: Node): Room {
  return { free: { ...pool.free } }
}

function emptied({ pool }: Node): Room {
  return { free: { ...pool.total } }
}

/** The node of each bundle, or undefined if they do not fit together. The first nodes are preferred. */
function layOut(nodes: Room[], bundles: readonly Resources[], strategy: PlacementStrategy): number[] | undefined {
  if (strategy === 'STRICT_PACK') {
    const whole = nodes.findIndex((node) => bundles.every((bundle) => put(node, bundle)))
    return whole < 0 ? undefined : bundles.map(() => whole)
  }
  const uses = nodes.map(() => 0)
  const places: number[] = []
  for (const bundle of bundles) {
    const order = nodes.map((_, index) => index).filter((index) => strategy !== 'STRICT_SPREAD' || uses[index] === 0)
    const sign = strategy === 'PACK' ? -1 : 1
    order.sort((left, right) => sign * (uses[left]! - uses[right]!))
    const place = order.find((index) => put(nodes[index]!, bundle))
    if (place === undefined) return undefined
    uses[place]! += 1
    places.push(place)
  }
  return places
}

function put({ free }: Room, bundle: Resources): boolean {
  const entries = Object.entries(bundle)
  if (entries.some(([name, amount]) => amount > (free[name] ?? 0) + 1e-9)) return false
  for (const [name, amount] of entries) free[name] = (free[name] ?? 0) - amount
  return true
}
