import { actor, type Invitation } from '@troupe/core'
import type { Precision, Program } from '@troupe/tensor'
import type { LayerContext } from '../layers/context.js'
import { type ModelConfig, readConfig } from '../models/config.js'
import { makeDecoder } from '../models/decoder.js'
import type { Groups, RankGroup } from '../parallel/groups.js'
import { type Plan, partition, type Range } from '../parallel/plan.js'
import { compileStage, type StepLimits, stageLayers } from '../parallel/stage.js'
import { openCheckpoint } from '../weights/checkpoint.js'
import type { LoadFormat } from '../weights/quantize.js'
import { Weights } from '../weights/weights.js'
import { logProbability, type Sampling, sample } from './sampler.js'
import type { RankStep } from './sequence.js'

/** What a worker needs to know about its part in a plan. */
export interface WorkerSpec {
  /** The model's directory or GGUF file, on every node. */
  model: string
  /** What weights stored as floats are quantized to. */
  loadFormat?: LoadFormat
  /** How tensor shards send each other what they sum. */
  communication: Precision
  plan: Plan
  /** This worker's place in the plan. */
  coordinates: Plan
  /** CPU threads for this worker, and whether every thread has a core of its own. */
  threads: number
  spin: boolean
  cacheBlocks: number
  blockTokens: number
  limits: StepLimits
}

/** The groups that workers are in, by the dimensions that have more than one. */
export type Invitations = Partial<Record<keyof Plan, Invitation>>

/** What a worker says of itself once it is ready. */
export interface WorkerInfo {
  layers: Range
  heads: Range
  weightBytes: number
  kvBytes: number
}

/** What a step gave on the worker that sampled. */
export interface StepResult {
  token: number
  /** [vocabulary], if they were asked for. */
  logits?: Float32Array
}

/** Milliseconds without progress before a group gives up. Deaths are noticed at once; a slow stage is not one. */
const GROUP_TIMEOUT = 600_000

/** One worker of a model: its stage's layers, its shard of their width, its chunk of the tokens. */
export class ModelWorker {
  readonly #config: ModelConfig
  readonly #groups: Groups
  #program: Program | undefined

  constructor(private readonly spec: WorkerSpec) {
    this.#config = readConfig(spec.model)
    const groupOf = (dimension: keyof Plan): RankGroup => ({
      rank: spec.coordinates[dimension],
      size: spec.plan[dimension],
    })
    this.#groups = { pipeline: groupOf('pipeline'), tensor: groupOf('tensor'), sequence: groupOf('sequence') }
  }

  /** Meets the other workers, and loads this worker's part of the model. */
  async load(invitations: Invitations): Promise<WorkerInfo> {
    const { spin } = this.spec
    await Promise.all(
      Object.entries(invitations).map(async ([dimension, invitation]) => {
        this.#groups[dimension as keyof Plan].communicator = await invitation.join({ spin, timeout: GROUP_TIMEOUT })
      }),
    )
    const checkpoint = openCheckpoint(this.spec.model)
    const weights = new Weights(checkpoint, this.spec.loadFormat)
    const { cacheBlocks: blocks, blockTokens, limits, threads } = this.spec
    const { communication } = this.spec
    const context: LayerContext = {
      weights,
      groups: this.#groups,
      communication,
      cache: { blocks, blockTokens, bytes: 0 },
    }
    this.#program = compileStage(makeDecoder(context, this.#config), context, this.#config, limits, threads)
    checkpoint.close()
    const { tensor } = this.#groups
    return {
      layers: stageLayers(context, this.#config),
      heads: partition(this.#config.heads, tensor.size, tensor.rank),
      weightBytes: weights.loadedBytes,
      kvBytes: context.cache.bytes,
    }
  }

  /**
   * Runs one step. The steps of all workers must be the same, in the same order.
   * @param steps What each sequence rank has to do.
   * @param random A number in [0, 1) that decides the draw.
   * @returns The sampled token on the one worker that has the logits, if any were wanted.
   */
  async step(
    steps: RankStep[],
    sampling: Sampling,
    random: number,
    wantLogits: boolean,
  ): Promise<StepResult | undefined> {
    const [row] = await this.#run(steps)
    if (!row) return undefined
    const token = sample(row, sampling, random)
    return wantLogits ? { token, logits: row.slice() } : { token }
  }

  /**
   * Runs one step whose outputs are all of its tokens.
   * @param following For each sequence rank the token that follows each of its tokens in the text.
   * @returns Their log-probabilities, on each of the workers that have the logits.
   */
  async score(steps: RankStep[], following: number[][]): Promise<number[] | undefined> {
    const rows = await this.#run(steps)
    const targets = following[this.#groups.sequence.rank]!
    return rows.length > 0 ? rows.map((row, i) => logProbability(row, targets[i]!)) : undefined
  }

  /** Runs one step. Gives the logits after each output, on the one tensor rank of the last stage that answers. */
  async #run(steps: RankStep[]): Promise<Float32Array[]> {
    const program = this.#program
    const step = steps[this.#groups.sequence.rank]
    if (!program || !step) throw new Error('load() has to come before step()')
    this.#fill(program, step)
    await program.run({
      tokens: step.ids.length,
      queries: step.sequence.length,
      sequences: step.blockTables.length,
      outputs: step.outputs.length,
    })
    const logits = program.outputs.logits
    if (!logits || this.#groups.tensor.rank !== 0) return []
    return step.outputs.map((_, i) => logits.data.subarray(i * logits.columns, (i + 1) * logits.columns))
  }

  #fill(program: Program, step: RankStep): void {
    const { blockTables, ...inputs } = step
    for (const [name, values] of Object.entries(inputs)) program.inputs[name]!.set(values)
    blockTables.forEach((table, row) => {
      program.inputs.blockTables!.set(table, row * this.spec.limits.blocksPerSequence)
    })
  }
}

export const RemoteModelWorker = actor(import.meta.url, ModelWorker)
