import type { ParallelPlan } from '../parallel/plan.js'
import { type ClusterSpec, countNodes, type NodeGroup, type Rate } from './cluster.js'
import type { Span } from './communication.js'

/** A dimension of the mesh of workers. */
export type Dimension = keyof ParallelPlan

/** The dimensions from the one whose ranks are closest together on: tensor inside a node, pipeline between nodes. */
export const DEFAULT_MAPPING: readonly Dimension[] = ['tensor', 'sequence', 'pipeline']

/** Where the workers of a pipeline stage are. */
export interface StagePlace {
  group: NodeGroup
  /** Cores of each worker where devices are cores, below one where workers share them; else 1. */
  coresPerWorker: number
  /** Threads that each worker is given, if that is asked for. */
  threads?: number
  tensor: Span
  sequence: Span
  /** Ranks of the stage on one node, and workers that are there altogether. */
  ranksPerNode: number
  workersPerNode: number
  /** Whether what the stage sends goes to another node. */
  sendsBetween: boolean
}

/** Nodes that follow each other and take as many workers each, which is a part of a placement. */
export interface NodeShare {
  /** The first node, by its number in the cluster. */
  node: number
  nodes: number
  /** Workers on each node, and threads of each worker. */
  workers: number
  threads: number
  /** Cores of each node, where its devices are cores. */
  cores: number
}

/** Replicas that are placed alike. */
export interface ReplicaPlace {
  count: number
  stages: StagePlace[]
  /** Where their workers are: replica by replica, and in each by the mapping, the ranks of its first dimension next to each other. */
  shares: NodeShare[]
}

/**
 * Places the replicas of a plan on the nodes in their order. What is inside of the mapping does not straddle nodes if it fits
 * on one; a stage, unless it is larger than every group of like nodes that is left, has nodes of one group. Nodes whose devices
 * are cores take as many workers as there are for each, or more if they would not do otherwise.
 * @param order The groups of nodes in the order in which they are taken, by their index; as they are listed by default.
 * @returns undefined if there are not enough devices.
 */
export function place(
  cluster: ClusterSpec,
  plan: ParallelPlan,
  replicas: number,
  mapping: readonly Dimension[],
  order: readonly number[] = [...cluster.nodes.keys()],
): ReplicaPlace[] | undefined {
  const workers = plan.pipeline * plan.tensor * plan.sequence * replicas
  const hasCores = cluster.nodes.some(({ cores }) => cores)
  const least = Math.ceil(workers / countNodes(cluster))
  for (let perNode = least; perNode <= (hasCores ? workers : least); perNode++) {
    const found = placeWith(cluster, order, perNode, { plan, replicas, mapping })
    if (found) return found
  }
  return undefined
}

function placeWith(
  cluster: ClusterSpec,
  order: readonly number[],
  perNode: number,
  { plan, replicas, mapping }: { plan: ParallelPlan; replicas: number; mapping: readonly Dimension[] },
): ReplicaPlace[] | undefined {
  let node = 0
  const hosts = cluster.nodes.map((group) => {
    const host = hostOf(group, perNode, node)
    node += group.count
    return host
  })
  const cursor = new Cursor(order.map((index) => hosts[index]!))
  const placed: ReplicaPlace[] = []
  for (let left = replicas; left > 0; ) {
    const fitted = uniform(cursor, plan, left, mapping) ?? mixed(cursor, plan, mapping)
    if (!fitted) return undefined
    placed.push(fitted)
    left -= fitted.count
  }
  return placed
}

/** The same places where every worker has so many threads. */
export function withThreads(places: readonly ReplicaPlace[], threads: number): ReplicaPlace[] {
  return places.map(({ count, stages, shares }) => ({
    count,
    stages: stages.map((stage) => ({ ...stage, threads })),
    shares: joined(shares.map((share) => ({ ...share, threads }))),
  }))
}

/** Nodes as workers see them: how many each takes. */
interface Host {
  group: NodeGroup
  /** The number of the first. */
  first: number
  slots: number
  coresPerWorker: number
}

function hostOf(group: NodeGroup, workersPerNode: number, first: number): Host {
  if (!group.cores) return { group, first, slots: group.devices, coresPerWorker: 1 }
  const cores = group.devices / workersPerNode
  return { group, first, slots: workersPerNode, coresPerWorker: cores > 1 ? Math.floor(cores) : cores }
}

/** The places that are still free: whole nodes of the groups, in order, and slots of one begun. */
class Cursor {
  index = 0
  /** Free nodes of the current group, the begun one not counted. */
  nodes: number
  /** Free slots of the begun node. */
  slots = 0

  constructor(readonly hosts: readonly Host[]) {
    this.nodes = hosts[0]?.group.count ?? 0
  }

  get host(): Host | undefined {
    return this.hosts[this.index]
  }

  /** The number of the first node of the current group that is free altogether; that begun is the one before. */
  get node(): number {
    const { first, group } = this.host!
    return first + group.count - this.nodes
  }

  nextGroup(): void {
    this.index++
    this.nodes = this.host?.group.count ?? 0
    this.slots = 0
  }
}

/** How ranks of a dimension lie on nodes of so many slots, and what is left for the next dimension. */
interface Level {
  span: Span
  /** Nodes that a unit of this level takes, or how many units one node takes. */
  nodes: number
  fit: number
}

function levels(sizes: readonly number[], slots: number): Level[] {
  let below: { nodes: number; fit: number } = { nodes: 1, fit: slots }
  return sizes.map((size) => {
    const level: Level =
      below.nodes > 1
        ? { span: { nodes: size, perNode: 1 }, nodes: below.nodes * size, fit: 1 }
        : size <= below.fit
          ? { span: { nodes: 1, perNode: size }, nodes: 1, fit: Math.floor(below.fit / size) }
          : {
              span: { nodes: Math.ceil(size / below.fit), perNode: below.fit },
              nodes: Math.ceil(size / below.fit),
              fit: 1,
            }
    below = level
    return level
  })
}

/** As many of `replicas` as the rest of the current group, or one after it, takes whole. */
function uniform(
  cursor: Cursor,
  plan: ParallelPlan,
  replicas: number,
  mapping: readonly Dimension[],
): ReplicaPlace | undefined {
  for (let index = cursor.index; index < cursor.hosts.length; index++) {
    const host = cursor.hosts[index]!
    const sizes = mapping.map((dimension) => plan[dimension])
    const found = levels(sizes, host.slots)
    const whole = found.at(-1)!
    const isCurrent = index === cursor.index
    const nodes = isCurrent ? cursor.nodes : host.group.count
    const begun = isCurrent && whole.nodes === 1 ? Math.floor(cursor.slots / product(sizes)) : 0
    const room = whole.nodes === 1 ? nodes * whole.fit + begun : Math.floor(nodes / whole.nodes)
    if (room === 0) continue
    while (cursor.index < index) cursor.nextGroup()
    const count = Math.min(replicas, room)
    const shares = take(cursor, found, sizes, count, begun)
    const span = (dimension: Dimension) => found[mapping.indexOf(dimension)]!.span
    const stages = Array.from({ length: plan.pipeline }, (_, stage) =>
      stagePlace(host, span('tensor'), span('sequence'), crosses(span('pipeline'), stage)),
    )
    return { count, stages, shares }
  }
  return undefined
}

/** Takes nodes, and says how many workers each has then. */
function take(
  cursor: Cursor,
  found: readonly Level[],
  sizes: readonly number[],
  count: number,
  begun: number,
): NodeShare[] {
  const whole = found.at(-1)!
  const workers = product(sizes)
  const { node } = cursor
  const host = cursor.host!
  if (whole.nodes > 1) {
    cursor.nodes -= whole.nodes * count
    cursor.slots = 0
    const unit = workersByNode(found, sizes)
    return joined(
      Array.from({ length: count * unit.length }, (_, i) => shareOf(host, node + i, unit[i % unit.length]!)),
    )
  }
  const fromBegun = Math.min(begun, count)
  const shares = fromBegun > 0 ? [shareOf(host, node - 1, workers * fromBegun)] : []
  const rest = count - fromBegun
  if (rest === 0) {
    cursor.slots -= workers * fromBegun
    return shares
  }
  const nodes = Math.ceil(rest / whole.fit)
  const onLast = workers * (rest - (nodes - 1) * whole.fit)
  cursor.nodes -= nodes
  cursor.slots = host.slots - onLast
  if (nodes > 1) shares.push({ ...shareOf(host, node, workers * whole.fit), nodes: nodes - 1 })
  return joined([...shares, shareOf(host, node + nodes - 1, onLast)])
}

/** How many workers of a unit that takes several nodes are on each. */
function workersByNode(found: readonly Level[], sizes: readonly number[]): number[] {
  let unit: number[] = [1]
  for (const [index, size] of sizes.entries()) {
    const { span, nodes } = found[index]!
    const [alone] = unit
    if (unit.length > 1) unit = Array.from({ length: size }, () => unit).flat()
    else if (nodes === 1) unit = [alone! * size]
    else {
      const onLast = size - (nodes - 1) * span.perNode
      unit = Array.from({ length: nodes }, (_, node) => alone! * (node < nodes - 1 ? span.perNode : onLast))
    }
  }
  return unit
}

function shareOf({ group, coresPerWorker }: Host, node: number, workers: number): NodeShare {
  const threads = Math.max(1, Math.floor(coresPerWorker))
  return { node, nodes: 1, workers, threads, cores: group.cores ? group.devices : 0 }
}

/** Shares that are alike and follow each other as one. */
function joined(shares: readonly NodeShare[]): NodeShare[] {
  const found: NodeShare[] = []
  for (const share of shares) {
    const last = found.at(-1)
    const isNext =
      last &&
      last.node + last.nodes === share.node &&
      last.workers === share.workers &&
      last.threads === share.threads &&
      last.cores === share.cores
    if (isNext) last.nodes += share.nodes
    else found.push({ ...share })
  }
  return found
}

function crosses(pipeline: Span, stage: number): boolean {
  return pipeline.nodes > 1 && (stage + 1) % pipeline.perNode === 0
}

function stagePlace(host: Host, tensor: Span, sequence: Span, sendsBetween: boolean): StagePlace {
  const ranksPerNode = Math.min(host.slots, tensor.perNode * sequence.perNode)
  return {
    group: host.group,
    coresPerWorker: host.coresPerWorker,
    workersPerNode: host.slots,
    ...{ tensor, sequence, ranksPerNode, sendsBetween },
  }
}

/** One replica over several groups, stage by stage where pipeline is the outermost dimension. */
function mixed(cursor: Cursor, plan: ParallelPlan, mapping: readonly Dimension[]): ReplicaPlace | undefined {
  const stages: StagePlace[] = []
  const shares: NodeShare[] = []
  const isByStage = mapping.at(-1) === 'pipeline'
  const inner = isByStage ? mapping.slice(0, -1) : mapping
  for (let unit = 0; unit < (isByStage ? plan.pipeline : 1); unit++) {
    const found = mixedUnit(cursor, plan, inner)
    if (!found) return undefined
    shares.push(...found.shares)
    if (isByStage) {
      // The stage before sends to another node unless this one has begun on its node.
      const before = stages.at(-1)
      if (before && found.isBegun) before.sendsBetween = false
      stages.push(found.place)
    } else {
      stages.push(...Array.from({ length: plan.pipeline }, () => found.place))
    }
  }
  return { count: 1, stages, shares: joined(shares) }
}

interface PlacedUnit {
  place: StagePlace
  isBegun: boolean
  shares: NodeShare[]
}

function mixedUnit(cursor: Cursor, plan: ParallelPlan, inner: readonly Dimension[]): PlacedUnit | undefined {
  const sizes = inner.map((dimension) => plan[dimension])
  const workers = product(sizes)
  const spanIn = (found: Level[], dimension: Dimension) => found[inner.indexOf(dimension)]!.span
  for (let index = cursor.index; index < cursor.hosts.length; index++) {
    const host = cursor.hosts[index]!
    const found = levels(sizes, host.slots)
    const whole = found.at(-1)!
    const isCurrent = index === cursor.index
    const begun = isCurrent && whole.nodes === 1 && cursor.slots >= workers ? 1 : 0
    const nodes = isCurrent ? cursor.nodes : host.group.count
    if (begun === 0 && nodes < whole.nodes) continue
    while (cursor.index < index) cursor.nextGroup()
    const shares = take(cursor, found, sizes, 1, begun)
    const place = stagePlace(host, spanIn(found, 'tensor'), spanIn(found, 'sequence'), true)
    return { place, isBegun: begun === 1, shares }
  }
  return spread(cursor, sizes, spanIn)
}

/** A unit that is larger than every group: over the nodes of several, each as fast and as large as the least of them. */
function spread(
  cursor: Cursor,
  sizes: readonly number[],
  spanIn: (found: Level[], dimension: Dimension) => Span,
): PlacedUnit | undefined {
  const taken: { host: Host; node: number }[] = []
  let least: Host | undefined
  for (; cursor.host; cursor.nextGroup()) {
    const { host } = cursor
    if (cursor.nodes === 0) continue
    least = least ? leastHost(least, host) : host
    const found = levels(sizes, least.slots)
    const needed = Math.min(cursor.nodes, found.at(-1)!.nodes - taken.length)
    for (let i = 0; i < needed; i++) taken.push({ host, node: cursor.node + i })
    if (taken.length < found.at(-1)!.nodes) continue
    cursor.nodes -= needed
    cursor.slots = 0
    const { coresPerWorker } = least
    const shares = workersByNode(found, sizes).map((workers, index) => {
      const { host, node } = taken[index]!
      return shareOf({ ...host, coresPerWorker }, node, workers)
    })
    const place = stagePlace(least, spanIn(found, 'tensor'), spanIn(found, 'sequence'), true)
    return { place, isBegun: false, shares: joined(shares) }
  }
  return undefined
}

function leastHost(a: Host, b: Host): Host {
  const slots = Math.min(a.slots, b.slots)
  const coresPerWorker = Math.min(a.coresPerWorker, b.coresPerWorker)
  return { group: leastGroup(a.group, b.group), first: a.first, slots, coresPerWorker }
}

function leastGroup(a: NodeGroup, b: NodeGroup): NodeGroup {
  const shared = Object.keys(a.device.formats).filter((name) => name in b.device.formats)
  const formats = shared.map((name) => [name, leastRate(a.device.formats[name]!, b.device.formats[name]!)])
  const ofNode = [a, b].map((group) => group.nodeBandwidth ?? group.device.bandwidth * group.devices)
  return {
    ...a,
    name: `${a.name} and ${b.name}`,
    nodeBandwidth: Math.min(...ofNode),
    device: {
      memory: Math.min(a.device.memory, b.device.memory),
      bandwidth: Math.min(a.device.bandwidth, b.device.bandwidth),
      formats: Object.fromEntries(formats),
      attention: leastRate(a.device.attention, b.device.attention),
      operation: Math.max(a.device.operation, b.device.operation),
    },
    link: {
      latency: Math.max(a.link.latency, b.link.latency),
      bandwidth: Math.min(a.link.bandwidth, b.link.bandwidth),
    },
  }
}

function leastRate(a: Rate, b: Rate): Rate {
  return { flops: Math.min(a.flops, b.flops), bandwidth: Math.min(a.bandwidth, b.bandwidth) }
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((all, size) => all * size, 1)
}
