import { InvalidInputError } from '@troupe/core'
import type { ParallelPlan } from '../parallel/plan.js'
import type { ClusterSpec, NodeGroup } from './cluster.js'
import { countReplicas, type Deployment, type DeploymentSizes, type ReplicaGroup, sizesOf } from './deployment.js'
import type { SequenceScheme } from './layer-cost.js'
import { largestShard, type ModelShape, type ShardShape } from './model-shape.js'
import { DEFAULT_MAPPING, type Dimension, place, type ReplicaPlace, withThreads } from './placement.js'
import { type ReplicaOutcome, ReplicaSimulation, type StagePrediction } from './replica-simulation.js'
import type { Workload } from './workload.js'

/** A plan that may be simulated. */
export interface Candidate {
  plan: ParallelPlan
  /** Copies of the whole that take requests in turn. */
  replicas: number
  /** The dimension whose ranks are closest together first. */
  mapping?: readonly Dimension[]
  /** Layers of each stage; by default those that serve the objective best. */
  layers?: readonly number[]
}

/** The predicted speed and memory of a deployment. Times are in seconds, rates in tokens a second. */
export interface Prediction {
  plan: ParallelPlan
  replicas: number
  mapping: readonly Dimension[]
  workers: number
  /** The deployment that is predicted, as an engine executes it. */
  deployment: Deployment
  /** Stages of the slowest replica. */
  stages: StagePrediction[]
  /** One prompt on an idle replica. */
  timeToFirstToken: number
  prefillRate: number
  /** From a token of a sequence to its next, with all requests in progress. */
  timePerToken: number
  /** Of one sequence, and of all together. */
  decodeRate: number
  totalDecodeRate: number
  /** The share of the stages' time in which they wait while decoding. */
  bubble: number
  /** A request from its start to its last token. */
  requestSeconds: number
  /** Output tokens a second of all replicas, prompts included. */
  throughput: number
  /** How prefill attends over sequence ranks. */
  scheme?: SequenceScheme | undefined
}

/** A plan that cannot be used, and why. */
export interface InfeasiblePlan {
  plan: ParallelPlan
  replicas: number
  reason: string
}

export function isInfeasible(outcome: Prediction | InfeasiblePlan): outcome is InfeasiblePlan {
  return 'reason' in outcome
}

/** The parts of a simulated deployment that are not left to the workload. */
export interface SimulatorOptions {
  /** By default, room for as many requests as are in progress at a time. */
  sizes?: Partial<DeploymentSizes> | undefined
  /** Threads of every worker; by default the cores that it has. */
  threads?: number | undefined
  /** The groups of nodes in the order in which they are taken, by their index; as they are listed by default. */
  order?: readonly number[] | undefined
}

/** A model on a cluster with a workload, on which plans are tried. */
export class Simulator {
  readonly #shards = new Map<number, ShardShape>()

  constructor(
    readonly cluster: ClusterSpec,
    readonly model: ModelShape,
    readonly workload: Workload,
    private readonly options: SimulatorOptions = {},
  ) {}

  /** The groups of nodes in the order in which they are taken. */
  get groups(): readonly NodeGroup[] {
    const { nodes } = this.cluster
    return this.options.order?.map((index) => nodes[index]!) ?? nodes
  }

  /** Where the workers of so many replicas are; undefined if there are not enough devices. @internal */
  place(plan: ParallelPlan, replicas: number, mapping: readonly Dimension[]): ReplicaPlace[] | undefined {
    return place(this.cluster, plan, replicas, mapping, this.options.order)
  }

  /** Predicts what a plan does with the best division of its layers, or why it cannot be used. */
  simulate(candidate: Candidate): Prediction | InfeasiblePlan {
    const { plan, replicas, mapping = DEFAULT_MAPPING, layers } = candidate
    const infeasible = (reason: string): InfeasiblePlan => ({ plan, replicas, reason })
    const { model, workload } = this
    if (plan.pipeline > model.layers) return infeasible(`the model has ${model.layers} layers`)
    if (plan.tensor > model.heads) return infeasible(`the model has ${model.heads} heads`)
    if (replicas > workload.concurrency) return infeasible(`only ${workload.concurrency} requests at a time`)
    const { threads } = this.options
    const found = this.place(plan, replicas, mapping)
    if (!found) return infeasible('not enough devices')
    const places = threads === undefined ? found : withThreads(found, threads)
    const sizes = sizesOf(plan, this.#asked(replicas))
    const predicted = this.#predict({ plan, mapping, ...sizes }, places, () => layers)
    return typeof predicted === 'string' ? infeasible(predicted) : predicted
  }

  /**
   * Predicts what a deployment does.
   * @throws InvalidInputError if its workers are not placed as its plan is on this cluster, or need more memory than there is.
   */
  predict(deployment: Deployment): Prediction {
    const { plan, mapping, replicas } = deployment
    const found = this.place(plan, countReplicas(deployment), mapping)
    const threads = replicas[0]?.shares[0]?.threads ?? 1
    const places = [found, found && withThreads(found, threads)].find((places) => isPlaced(replicas, places))
    if (!places)
      throw new InvalidInputError('the deployment places its workers in another way than a plan is placed here')
    const prediction = this.#predict(deployment, places, (group) => replicas[group]!.layers)
    if (typeof prediction !== 'string') return prediction
    throw new InvalidInputError(`the deployment does not fit this cluster: ${prediction}`)
  }

  /** The prediction, or why a replica does not fit. */
  #predict(
    sizes: Omit<Deployment, 'replicas'>,
    places: readonly ReplicaPlace[],
    layersOf: (group: number) => readonly number[] | undefined,
  ): Prediction | string {
    const { workload } = this
    const replicas = places.reduce((sum, { count }) => sum + count, 0)
    const inProgress = Math.min(sizes.sequences, Math.ceil(workload.concurrency / replicas))
    const predicted: { replica: ReplicaOutcome; group: ReplicaGroup }[] = []
    for (const [index, { count, shares, ...placed }] of places.entries()) {
      const replica = new ReplicaSimulation(this, sizes, inProgress, placed.stages).run(layersOf(index))
      if (typeof replica === 'string') return replica
      predicted.push({ replica, group: { count, layers: replica.stages.map(({ layers }) => layers), shares } })
    }
    const deployment = { ...sizes, replicas: predicted.map(({ group }) => group) }
    return join(deployment, workload, predicted)
  }

  #asked(replicas: number): DeploymentSizes {
    const { promptTokens, outputTokens, reservedTokens, concurrency, chunkTokens } = this.workload
    return {
      contextLength: reservedTokens ?? promptTokens + outputTokens,
      maxSequences: Math.ceil(concurrency / replicas),
      chunkTokens,
      ...this.options.sizes,
    }
  }

  /** The largest of so many shards. @internal */
  shard(tensor: number): ShardShape {
    let shard = this.#shards.get(tensor)
    if (!shard) {
      shard = largestShard(this.model, tensor)
      this.#shards.set(tensor, shard)
    }
    return shard
  }
}

function isPlaced(replicas: readonly ReplicaGroup[], places: readonly ReplicaPlace[] | undefined): boolean {
  const where = (groups: readonly { count: number; shares: unknown }[]) =>
    JSON.stringify(groups.map(({ count, shares }) => [count, shares]))
  return places !== undefined && where(places) === where(replicas)
}

function join(
  deployment: Deployment,
  workload: Workload,
  predicted: readonly { replica: ReplicaOutcome; group: ReplicaGroup }[],
): Prediction {
  const { plan, mapping } = deployment
  const replicas = countReplicas(deployment)
  const slowest = predicted.reduce((a, b) => (b.replica.requestSeconds > a.replica.requestSeconds ? b : a)).replica
  const { timeToFirstToken, timePerToken, stages, bubble, requestSeconds, scheme } = slowest
  return {
    ...{ plan, replicas, mapping, deployment, stages, timeToFirstToken, timePerToken, bubble, requestSeconds, scheme },
    workers: plan.pipeline * plan.tensor * plan.sequence * replicas,
    prefillRate: (workload.promptTokens - workload.cachedTokens) / timeToFirstToken,
    decodeRate: 1 / timePerToken,
    totalDecodeRate: workload.concurrency / timePerToken,
    throughput: predicted.reduce((sum, { replica, group }) => sum + group.count * replica.throughput, 0),
  }
}
