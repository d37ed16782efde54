import { chunkTokensOf, type Plan } from '../parallel/plan.js'
import type { ClusterSpec, NodeGroup } from './cluster.js'
import { balance, fillFastest, type StageLoad } from './divide-layers.js'
import { type Cost, FREE, plus, type SequenceWay, StageCosts, seconds } from './layer-cost.js'
import { MemoryNeeds, total, type WorkerMemory } from './memory.js'
import { largestShard, type ModelShape, type ShardShape } from './model-shape.js'
import { DEFAULT_MAPPING, type Dimension, place, type ReplicaPlace, type StagePlace } from './placement.js'
import { type Chunks, chunksOf, decodeStep, LAST_TOKEN, overLayers, type Workload } from './workload.js'

/** A plan that may be simulated. */
export interface Candidate {
  plan: Plan
  /** Copies of the whole that take requests in turn. */
  replicas: number
  /** The dimension whose ranks are closest together first. */
  mapping?: readonly Dimension[]
  /** Layers of each stage; by default those that serve the objective best. */
  layers?: readonly number[]
}

/** One pipeline stage, on the workers that have the most to do and to hold. */
export interface StagePrediction {
  /** The group of nodes that it is on. */
  nodes: string
  workers: number
  layers: number
  memory: WorkerMemory
  /** Bytes that a worker may have. */
  limit: number
  /** Of a step that decodes one token of each sequence of a micro-batch, what it is spent on. */
  decode: Cost
  /** Of a whole prompt. */
  prefill: Cost
}

/** What a plan is predicted to do. Times are in seconds, rates in tokens a second. */
export interface Prediction {
  plan: Plan
  replicas: number
  mapping: readonly Dimension[]
  workers: number
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
  way?: SequenceWay | undefined
}

/** Why a plan cannot be used. */
export interface InfeasiblePlan {
  plan: Plan
  replicas: number
  reason: string
}

export function isInfeasible(outcome: Prediction | InfeasiblePlan): outcome is InfeasiblePlan {
  return 'reason' in outcome
}

/** A model on a cluster with a workload, on which plans are tried. */
export class Simulator {
  readonly #shards = new Map<number, ShardShape>()

  constructor(
    readonly cluster: ClusterSpec,
    readonly model: ModelShape,
    readonly workload: Workload,
  ) {}

  /** Predicts what a plan does, or why it cannot be used. */
  simulate({ plan, replicas, mapping = DEFAULT_MAPPING, layers }: Candidate): Prediction | InfeasiblePlan {
    const infeasible = (reason: string): InfeasiblePlan => ({ plan, replicas, reason })
    const { model, workload } = this
    if (plan.pipeline > model.layers) return infeasible(`the model has ${model.layers} layers`)
    if (plan.tensor > model.heads) return infeasible(`the model has ${model.heads} heads`)
    if (replicas > workload.concurrency) return infeasible(`only ${workload.concurrency} requests at a time`)
    const places = place(this.cluster, plan, replicas, mapping)
    if (!places) return infeasible('not enough devices')
    const sequences = Math.ceil(workload.concurrency / replicas)
    const predicted: { replica: ReplicaOutcome; count: number }[] = []
    for (const replicaPlace of places) {
      const replica = new ReplicaSimulation(this, plan, sequences, replicaPlace).run(layers)
      if (typeof replica === 'string') return infeasible(replica)
      predicted.push({ replica, count: replicaPlace.count })
    }
    return join(plan, replicas, mapping, workload, predicted)
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

interface ReplicaOutcome extends Pick<Prediction, 'stages' | 'timeToFirstToken' | 'timePerToken' | 'bubble' | 'way'> {
  throughput: number
  requestSeconds: number
}

function join(
  plan: Plan,
  replicas: number,
  mapping: readonly Dimension[],
  workload: Workload,
  predicted: readonly { replica: ReplicaOutcome; count: number }[],
): Prediction {
  const slowest = predicted.reduce((a, b) => (b.replica.requestSeconds > a.replica.requestSeconds ? b : a)).replica
  const { timeToFirstToken, timePerToken, stages, bubble, requestSeconds, way } = slowest
  return {
    ...{ plan, replicas, mapping, stages, timeToFirstToken, timePerToken, bubble, requestSeconds, way },
    workers: plan.pipeline * plan.tensor * plan.sequence * replicas,
    prefillRate: (workload.promptTokens - workload.cachedTokens) / timeToFirstToken,
    decodeRate: 1 / timePerToken,
    totalDecodeRate: workload.concurrency / timePerToken,
    throughput: predicted.reduce((sum, { replica, count }) => sum + count * replica.throughput, 0),
  }
}

/** What layers, and what else a stage may have, cost on the workers of a group of nodes. */
interface UnitCosts {
  first: Cost
  rest: Cost
  decode: Cost
  embedFirst: Cost
  embedRest: Cost
  embedDecode: Cost
  headPrefill: Cost
  headDecode: Cost
  costs: StageCosts
}

/** A prompt's first chunk, another of its chunks, or a step that decodes. */
type StepKind = 'first' | 'rest' | 'decode'

class ReplicaSimulation {
  readonly #units = new Map<NodeGroup, UnitCosts>()
  readonly #memory: MemoryNeeds
  readonly #chunks: Chunks
  /** Micro-batches in progress while decoding, and sequences of each. */
  readonly #microBatches: number
  readonly #batch: number

  constructor(
    private readonly simulator: Simulator,
    private readonly plan: Plan,
    private readonly sequences: number,
    private readonly place: ReplicaPlace,
  ) {
    const { model, workload } = simulator
    const chunkTokens = workload.chunkTokens ?? chunkTokensOf(plan)
    const sizes = { sequences, chunkTokens }
    this.#memory = new MemoryNeeds(model, simulator.shard(plan.tensor), plan.sequence, workload, sizes)
    this.#chunks = chunksOf(workload, chunkTokens)
    this.#microBatches = Math.min(sequences, plan.pipeline)
    this.#batch = Math.ceil(sequences / this.#microBatches)
  }

  /** What the replica does with the best division of its layers, or why none fits. */
  run(given?: readonly number[]): ReplicaOutcome | string {
    const { layers } = this.simulator.model
    const room = this.place.stages.map((stage, index) => this.#layersThatFit(stage, index))
    const tight = room.findIndex((most) => most < 1)
    if (tight >= 0 || room.reduce((sum, most) => sum + most, 0) < layers) return this.#whyNot(Math.max(tight, 0))
    const divisions = given ? [[...given]] : this.#divisions(room)
    const { objective } = this.simulator.workload
    const outcomes = divisions.map((division) => this.#outcome(division))
    const isBetter = (a: ReplicaOutcome, b: ReplicaOutcome) =>
      objective === 'latency' ? a.requestSeconds < b.requestSeconds : a.throughput > b.throughput
    return outcomes.reduce((best, outcome) => (isBetter(outcome, best) ? outcome : best))
  }

  /** Ways to divide the layers that may be best: by what requests cost in all, by prefill, by decoding. */
  #divisions(room: readonly number[]): number[][] {
    const { layers } = this.simulator.model
    if (this.plan.pipeline === 1) return [[layers]]
    const { workload } = this.simulator
    const decodeSteps = (workload.outputTokens * this.#microBatches) / this.sequences
    const loads = (prefills: number, decodes: number): StageLoad[] =>
      this.place.stages.map((stage, index) => {
        const unit = this.#unit(stage)
        const send = (kind: StepKind) => (index < this.place.stages.length - 1 ? unit.costs.send(this.#step(kind)) : 0)
        const rest = this.#chunks.count - 1
        const prefillExtra = this.#prefill(unit, 0, index) + send('first') + rest * send('rest')
        const decodeExtra = seconds(this.#extra(unit, index, 'decode')) + send('decode')
        return {
          perLayer: prefills * this.#prefill(unit, 1) + decodes * seconds(unit.decode),
          extra: prefills * prefillExtra + decodes * decodeExtra,
          most: room[index]!,
        }
      })
    const all = loads(1, decodeSteps)
    const divided = [
      balance(layers, all),
      balance(layers, loads(1, 0)),
      balance(layers, loads(0, 1)),
      fillFastest(layers, all),
    ]
    const distinct = new Map(divided.flatMap((division) => (division ? [[division.join(), division]] : [])))
    return [...distinct.values()]
  }

  #outcome(division: readonly number[]): ReplicaOutcome {
    const { workload } = this.simulator
    const { step } = this.simulator.cluster
    const chunkCount = this.#chunks.count
    const last = division.length - 1
    let firstPass = 0
    let longestRest = 0
    let longestPrefill = 0
    let pass = 0
    let longest = 0
    const stages = division.map((layers, index) => {
      const stage = this.place.stages[index]!
      const unit = this.#unit(stage)
      const send = (kind: StepKind) => (index < last ? { ...FREE, overhead: unit.costs.send(this.#step(kind)) } : FREE)
      const part = (cost: Cost, kind: StepKind) => plus(plus(this.#extra(unit, index, kind), cost, layers), send(kind))
      const first = part(unit.first, 'first')
      const rest = part(unit.rest, 'rest')
      const decode = part(unit.decode, 'decode')
      const head = index === last ? unit.headPrefill : FREE
      const prefill = plus(plus(first, rest, chunkCount - 1), head)
      firstPass += seconds(first) + seconds(head)
      longestRest = Math.max(longestRest, seconds(rest))
      longestPrefill = Math.max(longestPrefill, seconds(prefill))
      pass += seconds(decode)
      longest = Math.max(longest, seconds(decode))
      return { stage, layers, prefill, decode, index }
    })
    const timeToFirstToken = firstPass + (chunkCount - 1) * longestRest + step
    const timePerToken = Math.max(pass + step, this.#microBatches * longest)
    const { sequences } = this
    return {
      timeToFirstToken,
      timePerToken,
      bubble: 1 - (this.#microBatches * pass) / (division.length * timePerToken),
      requestSeconds: timeToFirstToken + Math.max(0, workload.outputTokens - 1) * timePerToken,
      throughput:
        (sequences * workload.outputTokens) / (sequences * longestPrefill + workload.outputTokens * timePerToken),
      stages: stages.map(({ stage, layers, prefill, decode, index }) => ({
        nodes: stage.group.name,
        workers: this.plan.tensor * this.plan.sequence,
        layers,
        memory: this.#memory.worker(layers, index === 0, index === last),
        limit: limitOf(stage),
        prefill,
        decode,
      })),
      way: stages[0]!.prefill.way,
    }
  }

  #step(kind: StepKind) {
    return kind === 'decode' ? decodeStep(this.simulator.workload, this.#batch) : this.#chunks[kind]
  }

  /** What a stage has besides layers: the embedding, the head. */
  #extra(unit: UnitCosts, index: number, kind: StepKind): Cost {
    const embedding = { first: unit.embedFirst, rest: unit.embedRest, decode: unit.embedDecode }[kind]
    const cost = index === 0 ? embedding : FREE
    return kind === 'decode' && index === this.place.stages.length - 1 ? plus(cost, unit.headDecode) : cost
  }

  /** Seconds of a whole prompt in so many layers, with what else the stage of an index has. */
  #prefill(unit: UnitCosts, layers: number, index = -1): number {
    const rest = this.#chunks.count - 1
    const own = layers * (seconds(unit.first) + rest * seconds(unit.rest))
    const embedded = index === 0 ? seconds(unit.embedFirst) + rest * seconds(unit.embedRest) : 0
    return own + embedded + (index === this.place.stages.length - 1 ? seconds(unit.headPrefill) : 0)
  }

  #unit(stage: StagePlace): UnitCosts {
    const known = this.#units.get(stage.group)
    if (known) return known
    const { model, cluster, workload } = this.simulator
    const { pipeline, tensor, sequence } = this.plan
    const costsWith = (inFlight: number) => {
      const share = Math.min(1, inFlight / pipeline)
      const active = Math.max(stage.ranksPerNode, Math.ceil(stage.workersPerNode * share))
      return new StageCosts(cluster, model, this.simulator.shard(tensor), stage, { tensor, sequence }, active)
    }
    const prefilling = costsWith(this.#chunks.count)
    const decoding = costsWith(this.#microBatches)
    const layer = (costs: StageCosts, step: Chunks['first']) =>
      overLayers(
        model,
        (window) => costs.layer(step, window),
        (full, sliding, share) => plus(plus(FREE, full, 1 - share), sliding, share),
      )
    const decode = decodeStep(workload, this.#batch)
    const unit = {
      first: layer(prefilling, this.#chunks.first),
      rest: layer(prefilling, this.#chunks.rest),
      decode: layer(decoding, decode),
      embedFirst: prefilling.embedding(this.#chunks.first),
      embedRest: prefilling.embedding(this.#chunks.rest),
      embedDecode: decoding.embedding(decode),
      headPrefill: prefilling.head(LAST_TOKEN),
      headDecode: decoding.head(decode),
      costs: decoding,
    }
    this.#units.set(stage.group, unit)
    return unit
  }

  #layersThatFit(stage: StagePlace, index: number): number {
    const none = total(this.#memory.worker(0, index === 0, index === this.place.stages.length - 1))
    const { weights, cache } = this.#memory.layer
    return Math.min(this.simulator.model.layers, Math.floor((limitOf(stage) - none) / (weights + cache)))
  }

  #whyNot(index: number): string {
    const { stages } = this.place
    const even = Math.ceil(this.simulator.model.layers / stages.length)
    const memory = this.#memory.worker(even, index === 0, index === stages.length - 1)
    const parts = `${gigabytes(memory.weights)} of weights, ${gigabytes(memory.cache)} of cache`
    const limit = limitOf(stages[index]!)
    return `a worker needs ${gigabytes(total(memory))} (${parts}) and has ${gigabytes(limit)}`
  }
}

function limitOf({ group, coresPerWorker }: StagePlace): number {
  return group.device.memory * coresPerWorker
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toPrecision(3)} GB`
}
