import type { ParallelPlan } from '../parallel/plan.js'
import { type ClusterSpec, countDevices, countNodes, type NodeGroup } from './cluster.js'
import type { ModelShape } from './model-shape.js'
import { DEFAULT_MAPPING, type Dimension } from './placement.js'
import {
  type Candidate,
  type InfeasiblePlan,
  isInfeasible,
  type Prediction,
  Simulator,
  type SimulatorOptions,
} from './simulate.js'
import type { Workload } from './workload.js'

/** The choices that a search has. */
export interface SearchOptions extends Pick<SimulatorOptions, 'sizes' | 'threads'> {
  /** The dimension whose ranks are closest together first; tensor, sequence, pipeline by default. */
  mapping?: readonly Dimension[]
  /** The most replicas; as many as there is room and work for by default. */
  maxReplicas?: number
  /** So many replicas, and no other number. */
  replicas?: number
  /** Whether nodes may be taken in another order than they are listed in. Default true. */
  reorders?: boolean
}

/** The plans that a search found. */
export interface SearchResult {
  /** The plan to use; undefined if none fits. */
  chosen: Prediction | undefined
  /** Those that fit, best first. */
  fitting: Prediction[]
  infeasible: InfeasiblePlan[]
}

/** Plans as good as the best but for this share are preferred if they need fewer workers. */
const TOLERANCE = 0.01
/** Plans of the coarse search from which the fine one goes on. */
const STARTS = 8
/** Sizes up to which the coarse search leaves none out. */
const MAX_SMALL = 8
/** Groups of nodes whose every order is tried. */
const MAX_ORDERED_GROUPS = 3

/**
 * Searches the plans of a cluster for the best by the workload's objective: first those whose dimensions are small, powers
 * of two, or as large as a node or the model allow, then from the best of these from neighbour to neighbour as long as they get
 * better. Nodes are tried in several orders, as a plan takes them from the first on.
 */
export function searchPlans(
  cluster: ClusterSpec,
  model: ModelShape,
  workload: Workload,
  options: SearchOptions = {},
): SearchResult {
  const { reorders = true, sizes, threads } = options
  const searches = (reorders ? orders(cluster.nodes) : [[...cluster.nodes.keys()]]).map((order) => {
    const search = new Search(new Simulator(cluster, model, workload, { sizes, threads, order }), options)
    search.run()
    return search
  })
  const best = new Map<string, Prediction>()
  for (const prediction of searches.flatMap((search) => search.fitting)) {
    const key = keyOf(prediction)
    const known = best.get(key)
    if (!known || score(prediction, workload) < score(known, workload)) best.set(key, prediction)
  }
  const fitting = [...best.values()].sort((a, b) => score(a, workload) - score(b, workload) || a.workers - b.workers)
  const infeasible = (searches[0]?.infeasible ?? []).filter((plan) => !best.has(keyOf(plan)))
  return { chosen: choose(fitting, workload), fitting, infeasible }
}

/** The figure that is to be as small as can be: seconds a request, or seconds an output token. */
export function score(prediction: Prediction, { objective }: Workload): number {
  return objective === 'latency' ? prediction.requestSeconds : 1 / prediction.throughput
}

function choose(fitting: readonly Prediction[], workload: Workload): Prediction | undefined {
  const [best] = fitting
  if (!best) return undefined
  const limit = score(best, workload) * (1 + TOLERANCE)
  return fitting
    .filter((prediction) => score(prediction, workload) <= limit)
    .reduce((a, b) => (b.workers < a.workers ? b : a))
}

function keyOf({ plan, replicas }: { plan: ParallelPlan; replicas: number }): string {
  return [replicas, plan.pipeline, plan.tensor, plan.sequence].join()
}

class Search {
  readonly fitting: Prediction[] = []
  readonly infeasible: InfeasiblePlan[] = []
  readonly #tried = new Map<string, Prediction | undefined>()
  readonly #devices: number
  readonly #mapping: readonly Dimension[]

  constructor(
    private readonly simulator: Simulator,
    private readonly options: SearchOptions,
  ) {
    this.#devices = countDevices(simulator.cluster)
    this.#mapping = options.mapping ?? DEFAULT_MAPPING
  }

  run(): void {
    const { model, cluster, workload } = this.simulator
    const nodeSizes = cluster.nodes.map(({ devices }) => devices)
    const tensor = sizes(Math.min(model.heads, this.#devices), [...nodeSizes, model.heads])
    const pipeline = sizes(Math.min(model.layers, this.#devices), [cluster.nodes.length])
    const sequence = sizes(Math.min(this.#devices, workload.promptTokens), nodeSizes)
    for (const t of tensor) {
      for (const s of sequence) {
        if (t * s > this.#devices) break
        for (const p of pipeline) {
          if (t * s * p > this.#devices) break
          this.#tryReplicas({ pipeline: p, tensor: t, sequence: s })
        }
      }
    }
    const starts = [...this.fitting].sort((a, b) => this.#score(a) - this.#score(b)).slice(0, STARTS)
    for (const start of starts) this.#climb(start)
  }

  #score(prediction: Prediction): number {
    return score(prediction, this.simulator.workload)
  }

  /** With numbers of copies that may be best. */
  #tryReplicas(plan: ParallelPlan): Prediction | undefined {
    const tried = this.#replicaCounts(plan).flatMap((replicas) => this.#try({ plan, replicas }) ?? [])
    return tried.sort((a, b) => this.#score(a) - this.#score(b))[0]
  }

  /**
   * One; where there is room for a few only, any number; as many as there is room and work for, or fewer with the same requests each; as many as fill the groups of
   * nodes up to one of them; the same number on every node.
   */
  #replicaCounts(plan: ParallelPlan): number[] {
    const { cluster, workload, groups } = this.simulator
    if (this.options.replicas !== undefined) return [this.options.replicas]
    const maxReplicas = this.#maxReplicas(plan)
    const alike = Math.ceil(workload.concurrency / Math.ceil(workload.concurrency / Math.max(1, maxReplicas)))
    const workers = plan.pipeline * plan.tensor * plan.sequence
    let devices = 0
    const filling = groups.map((group) => {
      devices += group.count * group.devices
      return Math.floor(devices / workers)
    })
    const nodes = countNodes(cluster)
    const few = maxReplicas > MAX_SMALL ? [1] : Array.from({ length: maxReplicas }, (_, i) => i + 1)
    const counts = [...few, maxReplicas, alike, ...filling, nodes, Math.floor(maxReplicas / nodes) * nodes]
    return [...new Set(counts)].filter((count) => count >= 1 && count <= Math.max(1, maxReplicas))
  }

  #maxReplicas(plan: ParallelPlan): number {
    const { concurrency } = this.simulator.workload
    const workers = plan.pipeline * plan.tensor * plan.sequence
    let high = Math.min(concurrency, this.options.maxReplicas ?? concurrency, Math.floor(this.#devices / workers))
    let low = 0
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if (this.simulator.place(plan, middle, this.#mapping)) low = middle
      else high = middle - 1
    }
    return low
  }

  #try(candidate: Candidate): Prediction | undefined {
    const key = keyOf(candidate)
    if (this.#tried.has(key)) return this.#tried.get(key)
    const outcome = this.simulator.simulate({ ...candidate, mapping: this.#mapping })
    if (isInfeasible(outcome)) this.infeasible.push(outcome)
    else this.fitting.push(outcome)
    const found = isInfeasible(outcome) ? undefined : outcome
    this.#tried.set(key, found)
    return found
  }

  #climb(from: Prediction): void {
    for (let best = from; ; ) {
      const next = neighbours(best.plan)
        .filter((plan) => this.#isPossible(plan))
        .flatMap((plan) => this.#tryReplicas(plan) ?? [])
        .concat(this.#otherReplicas(best))
        .reduce((a, b) => (this.#score(b) < this.#score(a) ? b : a), best)
      if (next === best) return
      best = next
    }
  }

  #otherReplicas({ plan, replicas }: Prediction): Prediction[] {
    if (this.options.replicas !== undefined) return []
    const maxReplicas = this.#maxReplicas(plan)
    return [replicas - 1, replicas + 1, Math.ceil(replicas / 2), replicas * 2].flatMap((other) =>
      other >= 1 && other <= maxReplicas ? (this.#try({ plan, replicas: other }) ?? []) : [],
    )
  }

  #isPossible({ pipeline, tensor, sequence }: ParallelPlan): boolean {
    const { model, workload } = this.simulator
    const isWhole = pipeline >= 1 && tensor >= 1 && sequence >= 1
    const isModel = pipeline <= model.layers && tensor <= model.heads && sequence <= workload.promptTokens
    return isWhole && isModel && pipeline * tensor * sequence <= this.#devices
  }
}

/** Small numbers and powers of two up to a limit, the limit, and what of `natural` lies below. */
function sizes(limit: number, natural: readonly number[]): number[] {
  const all = new Set([limit, ...natural.filter((size) => size <= limit)])
  for (let size = 1; size <= limit; size = size < MAX_SMALL ? size + 1 : size * 2) all.add(size)
  return [...all].sort((a, b) => a - b)
}

/** Plans that differ in one dimension a little, or have moved a factor from one to another. */
function neighbours(plan: ParallelPlan): ParallelPlan[] {
  const dimensions = Object.keys(plan) as Dimension[]
  const changed = dimensions.flatMap((dimension) => {
    const size = plan[dimension]
    const others = [size - 1, size + 1, Math.floor(size / 2), size * 2, Math.floor(size * 1.5)]
    return others.map((other) => ({ ...plan, [dimension]: other }))
  })
  const moved = dimensions.flatMap((from) =>
    dimensions.flatMap((to) =>
      from === to || plan[from] === 1
        ? []
        : [
            { ...plan, [from]: plan[from] - 1, [to]: plan[to] + 1 },
            { ...plan, [from]: Math.ceil(plan[from] / 2), [to]: plan[to] * 2 },
          ],
    ),
  )
  return [...changed, ...moved]
}

/** Orders in which groups of nodes may be taken, by index: all of a few; of many the fastest and the largest first. */
function orders(groups: readonly NodeGroup[]): number[][] {
  const listed = [...groups.keys()]
  if (groups.length <= MAX_ORDERED_GROUPS) return permutations(listed)
  const by = (size: (group: NodeGroup) => number) => listed.toSorted((a, b) => size(groups[b]!) - size(groups[a]!))
  return [
    listed,
    by(({ device }) => device.bandwidth),
    by(({ device }) => Math.max(...Object.values(device.formats).map(({ flops }) => flops))),
    by(({ device, devices }) => device.memory * devices),
  ]
}

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length <= 1) return [[...items]]
  return items.flatMap((item, index) => permutations(items.toSpliced(index, 1)).map((rest) => [item, ...rest]))
}
