import type { Plan } from '../parallel/plan.js'
import { type ClusterSpec, countNodes, type NodeGroup, type Rate } from './cluster.js'
import type { Span } from './communication.js'

/** A dimension of the mesh of workers. */
export type Dimension = keyof Plan

/** The dimensions from the one whose ranks are closest together on: tensor inside a node, pipeline between nodes. */
export const DEFAULT_MAPPING: readonly Dimension[] = ['tensor', 'sequence', 'pipeline']

/** Where the workers of a pipeline stage are. */
export interface StagePlace {
  group: NodeGroup
  /** Cores of each worker where devices are cores, below one where workers share them; else 1. */
  coresPerWorker: number
  tensor: Span
  sequence: Span
  /** Ranks of the stage on one node, and workers that are there altogether. */
  ranksPerNode: number
  workersPerNode: number
  /** Whether what the stage sends goes to another node. */
  sendsBetween: boolean
}

/** Replicas that are placed alike. */
export interface ReplicaPlace {
  count: number
  stages: StagePlace[]
}

/**
 * Places the replicas of a plan on the nodes in their order. What is inside of the mapping does not straddle nodes if it fits
 * on one; a stage, unless it is larger than every group of like nodes that is left, has nodes of one group.
 * @returns undefined if there are not enough devices.
 */
export function place(
  cluster: ClusterSpec,
  plan: Plan,
  replicas: number,
  mapping: readonly Dimension[],
): ReplicaPlace[] | undefined {
  const workers = plan.pipeline * plan.tensor * plan.sequence * replicas
  const perNode = Math.ceil(workers / countNodes(cluster))
  const cursor = new Cursor(cluster.nodes.map((group) => hostOf(group, perNode)))
  const placed: ReplicaPlace[] = []
  for (let left = replicas; left > 0; ) {
    const fitted = uniform(cursor, plan, left, mapping) ?? mixed(cursor, plan, mapping)
    if (!fitted) return undefined
    placed.push(fitted)
    left -= fitted.count
  }
  return placed
}

/** Nodes as workers see them: how many each takes. */
interface Host {
  group: NodeGroup
  slots: number
  coresPerWorker: number
}

function hostOf(group: NodeGroup, workersPerNode: number): Host {
  if (!group.cores) return { group, slots: group.devices, coresPerWorker: 1 }
  const cores = group.devices / workersPerNode
  return { group, slots: workersPerNode, coresPerWorker: cores > 1 ? Math.floor(cores) : cores }
}

/** What is still free: whole nodes of the groups, in order, and slots of one begun. */
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
  plan: Plan,
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
    take(cursor, whole, product(sizes), count, begun)
    const span = (dimension: Dimension) => found[mapping.indexOf(dimension)]!.span
    const stages = Array.from({ length: plan.pipeline }, (_, stage) =>
      stagePlace(host, span('tensor'), span('sequence'), crosses(span('pipeline'), stage)),
    )
    return { count, stages }
  }
  return undefined
}

function take(cursor: Cursor, whole: Level, workers: number, count: number, begun: number): void {
  if (whole.nodes > 1) {
    cursor.nodes -= whole.nodes * count
    cursor.slots = 0
    return
  }
  const fromBegun = Math.min(begun, count)
  const rest = count - fromBegun
  if (rest === 0) {
    cursor.slots -= workers * fromBegun
    return
  }
  const nodes = Math.ceil(rest / whole.fit)
  cursor.nodes -= nodes
  cursor.slots = cursor.host!.slots - workers * (rest - (nodes - 1) * whole.fit)
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
function mixed(cursor: Cursor, plan: Plan, mapping: readonly Dimension[]): ReplicaPlace | undefined {
  const stages: StagePlace[] = []
  const isByStage = mapping.at(-1) === 'pipeline'
  const inner = isByStage ? mapping.slice(0, -1) : mapping
  for (let unit = 0; unit < (isByStage ? plan.pipeline : 1); unit++) {
    const found = mixedUnit(cursor, plan, inner)
    if (!found) return undefined
    if (isByStage) {
      // The stage before sends to another node unless this one has begun on its node.
      const before = stages.at(-1)
      if (before && found.isBegun) before.sendsBetween = false
      stages.push(found.place)
    } else {
      stages.push(...Array.from({ length: plan.pipeline }, () => found.place))
    }
  }
  return { count: 1, stages }
}

function mixedUnit(
  cursor: Cursor,
  plan: Plan,
  inner: readonly Dimension[],
): { place: StagePlace; isBegun: boolean } | undefined {
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
    take(cursor, whole, workers, 1, begun)
    const place = stagePlace(host, spanIn(found, 'tensor'), spanIn(found, 'sequence'), true)
    return { place, isBegun: begun === 1 }
  }
  return spread(cursor, sizes, spanIn)
}

/** A unit that is larger than every group: over the nodes of several, each as fast and as large as the least of them. */
function spread(
  cursor: Cursor,
  sizes: readonly number[],
  spanIn: (found: Level[], dimension: Dimension) => Span,
): { place: StagePlace; isBegun: boolean } | undefined {
  let nodes = 0
  let least: Host | undefined
  for (; cursor.host; cursor.nextGroup()) {
    if (cursor.nodes === 0) continue
    least = least ? leastHost(least, cursor.host) : cursor.host
    const found = levels(sizes, least.slots)
    const needed = found.at(-1)!.nodes - nodes
    if (needed <= cursor.nodes) {
      cursor.nodes -= needed
      cursor.slots = 0
      return { place: stagePlace(least, spanIn(found, 'tensor'), spanIn(found, 'sequence'), true), isBegun: false }
    }
    nodes += cursor.nodes
  }
  return undefined
}

function leastHost(a: Host, b: Host): Host {
  const slots = Math.min(a.slots, b.slots)
  const coresPerWorker = Math.min(a.coresPerWorker, b.coresPerWorker)
  return { group: leastGroup(a.group, b.group), slots, coresPerWorker }
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
