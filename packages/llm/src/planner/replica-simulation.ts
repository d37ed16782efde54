import type { ClusterSpec, NodeGroup } from './cluster.js'
import type { Deployment } from './deployment.js'
import { balance, fillFastest, type StageLoad } from './divide-layers.js'
import { type Cost, FREE, plus, type SequenceScheme, StageCosts, seconds } from './layer-cost.js'
import { MemoryNeeds, total, type WorkerMemory } from './memory.js'
import type { ModelShape, ShardShape } from './model-shape.js'
import type { StagePlace } from './placement.js'
import { type Chunks, chunksOf, decodeStep, LAST_TOKEN, overLayers, type Workload } from './workload.js'

/** A model on a cluster with a workload. */
export interface SimulationContext {
  readonly cluster: ClusterSpec
  readonly model: ModelShape
  readonly workload: Workload
  /** The largest of so many shards. */
  shard(tensor: number): ShardShape
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

/** The speed and memory of one replica. */
export interface ReplicaOutcome {
  stages: StagePrediction[]
  timeToFirstToken: number
  timePerToken: number
  bubble: number
  scheme: SequenceScheme | undefined
  throughput: number
  requestSeconds: number
}

/** The costs of layers, and of what else a stage may have, on the workers of a group of nodes. */
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

/** Simulates one replica of a deployment on the workers that it is placed on. */
export class ReplicaSimulation {
  readonly #units = new Map<NodeGroup, UnitCosts>()
  readonly #memory: MemoryNeeds
  readonly #chunks: Chunks
  /** Micro-batches in progress while decoding, and sequences of each. */
  readonly #microBatches: number
  readonly #batch: number

  /** @param sequences How many are in progress at a time. */
  constructor(
    private readonly context: SimulationContext,
    private readonly deployment: Omit<Deployment, 'replicas'>,
    private readonly sequences: number,
    private readonly stages: readonly StagePlace[],
  ) {
    const { model, workload } = context
    const { plan, chunkTokens, stepsAhead } = deployment
    this.#memory = new MemoryNeeds(model, context.shard(plan.tensor), deployment)
    this.#chunks = chunksOf(workload, chunkTokens)
    this.#microBatches = Math.min(sequences, plan.pipeline, stepsAhead)
    this.#batch = Math.ceil(sequences / this.#microBatches)
  }

  /** The speed and memory with the best division of the layers, or why none fits. */
  run(given?: readonly number[]): ReplicaOutcome | string {
    const { layers } = this.context.model
    const room = this.stages.map((stage, index) => this.#layersThatFit(stage, index))
    const tight = room.findIndex((fitting) => fitting < 1)
    if (tight >= 0 || room.reduce((sum, fitting) => sum + fitting, 0) < layers) return this.#whyNot(Math.max(tight, 0))
    const divisions = given ? [[...given]] : this.#divisions(room)
    const { objective } = this.context.workload
    const outcomes = divisions.map((division) => this.#outcome(division))
    const isBetter = (a: ReplicaOutcome, b: ReplicaOutcome) =>
      objective === 'latency' ? a.requestSeconds < b.requestSeconds : a.throughput > b.throughput
    return outcomes.reduce((best, outcome) => (isBetter(outcome, best) ? outcome : best))
  }

  /** Ways to divide the layers that may be best: by what requests cost in all, by prefill, by decoding. */
  #divisions(room: readonly number[]): number[][] {
    const { layers } = this.context.model
    if (this.deployment.plan.pipeline === 1) return [[layers]]
    const { workload } = this.context
    const decodeSteps = (workload.outputTokens * this.#microBatches) / this.sequences
    const loads = (prefills: number, decodes: number) => this.#loads(prefills, decodes, room)
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

  /**
   * The division whose longest stage is as short as can be where requests decode as long as they prefill, whatever memory it
   * takes; undefined if there are more stages than layers.
   */
  balanced(): number[] | undefined {
    const { layers } = this.context.model
    const room = this.stages.map(() => Number.POSITIVE_INFINITY)
    const whole = (loads: readonly StageLoad[]) =>
      loads.reduce((sum, { perLayer, extra }) => sum + extra + (perLayer * layers) / loads.length, 0)
    const prefill = whole(this.#loads(1, 0, room))
    const decode = whole(this.#loads(0, 1, room))
    return balance(layers, this.#loads(1 / prefill, 1 / decode, room))
  }

  /** The costs of stages for so many prompts and of so many steps that decode. */
  #loads(prefills: number, decodes: number, room: readonly number[]): StageLoad[] {
    return this.stages.map((stage, index) => {
      const unit = this.#unit(stage)
      const send = (kind: StepKind) => (index < this.stages.length - 1 ? unit.costs.send(this.#step(kind)) : 0)
      const rest = this.#chunks.count - 1
      const prefillExtra = this.#prefill(unit, 0, index) + send('first') + rest * send('rest')
      const decodeExtra = seconds(this.#extra(unit, index, 'decode')) + send('decode')
      return {
        perLayer: prefills * this.#prefill(unit, 1) + decodes * seconds(unit.decode),
        extra: prefills * prefillExtra + decodes * decodeExtra,
        most: room[index]!,
      }
    })
  }

  #outcome(division: readonly number[]): ReplicaOutcome {
    const { workload } = this.context
    const { step } = this.context.cluster
    const chunkCount = this.#chunks.count
    const last = division.length - 1
    let firstPass = 0
    let longestRest = 0
    let longestPrefill = 0
    let pass = 0
    let longest = 0
    const stages = division.map((layers, index) => {
      const stage = this.stages[index]!
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
        workers: this.deployment.plan.tensor * this.deployment.plan.sequence,
        layers,
        memory: this.#memory.worker(layers, index === 0, index === last),
        limit: limitOf(stage),
        prefill,
        decode,
      })),
      scheme: stages[0]!.prefill.scheme,
    }
  }

  #step(kind: StepKind) {
    return kind === 'decode' ? decodeStep(this.context.workload, this.#batch) : this.#chunks[kind]
  }

  /** The cost of what a stage has besides layers: the embedding, the head. */
  #extra(unit: UnitCosts, index: number, kind: StepKind): Cost {
    const embedding = { first: unit.embedFirst, rest: unit.embedRest, decode: unit.embedDecode }[kind]
    const cost = index === 0 ? embedding : FREE
    return kind === 'decode' && index === this.stages.length - 1 ? plus(cost, unit.headDecode) : cost
  }

  /** Seconds of a whole prompt in so many layers, with what else the stage of an index has. */
  #prefill(unit: UnitCosts, layers: number, index = -1): number {
    const rest = this.#chunks.count - 1
    const own = layers * (seconds(unit.first) + rest * seconds(unit.rest))
    const embedded = index === 0 ? seconds(unit.embedFirst) + rest * seconds(unit.embedRest) : 0
    return own + embedded + (index === this.stages.length - 1 ? seconds(unit.headPrefill) : 0)
  }

  #unit(stage: StagePlace): UnitCosts {
    const known = this.#units.get(stage.group)
    if (known) return known
    const { model, cluster, workload } = this.context
    const { pipeline, tensor, sequence } = this.deployment.plan
    const costsWith = (inFlight: number) => {
      const share = Math.min(1, inFlight / pipeline)
      const active = Math.max(stage.ranksPerNode, Math.ceil(stage.workersPerNode * share))
      return new StageCosts(cluster, model, this.context.shard(tensor), stage, { tensor, sequence }, active)
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
    const none = total(this.#memory.worker(0, index === 0, index === this.stages.length - 1))
    const { weights, cache } = this.#memory.layer
    return Math.min(this.context.model.layers, Math.floor((limitOf(stage) - none) / (weights + cache)))
  }

  #whyNot(index: number): string {
    const { stages } = this
    const even = Math.ceil(this.context.model.layers / stages.length)
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
