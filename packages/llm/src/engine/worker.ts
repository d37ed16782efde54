import { actor, type Invitation } from '@troupe/core'
import {
  type CacheType,
  type CompileOptions,
  type DeviceName,
  type OperationProfile,
  type Output,
  openDevice,
  type Precision,
  type Program,
  type ProgramStatistics,
  Tensor,
} from '@troupe/tensor'
import type { LayerContext } from '../layers/context.js'
import { type ModelConfig, readConfig } from '../models/config.js'
import { makeDecoder } from '../models/decoder.js'
import { openCheckpoint } from '../models/open-checkpoint.js'
import type { Groups, RankGroup } from '../parallel/groups.js'
import { type ParallelPlan, partition, type Range } from '../parallel/plan.js'
import type { Checkpoint } from '../weights/checkpoint.js'
import type { LoadFormat } from '../weights/quantize.js'
import { Weights } from '../weights/weights.js'
import { ADJUSTMENT_COLUMNS, logProbability, neutralAdjustments } from './sampler.js'
import type { StepResult } from './scheduler.js'
import { type LoadProgress, loadParts } from './stage-parts.js'
import { compileStage, type Stage, type StepLimits } from './stage-program.js'
import type { Step } from './step.js'

/** A worker's part in a plan. */
export interface WorkerSpec {
  /** The model's directory or GGUF file, on every node. */
  model: string
  /** The format that weights stored as floats are quantized to. */
  loadFormat?: LoadFormat
  /** Where it computes. */
  device: DeviceName
  /** How tensor shards send each other what they sum. */
  communication: Precision
  plan: ParallelPlan
  /** This worker's place in the plan. */
  coordinates: ParallelPlan
  /** The layers of its stage. */
  layers: Range
  /** CPU threads for this worker, and whether every thread has a core of its own. */
  threads: number
  spin: boolean
  cacheType: CacheType
  cacheBlocks: number
  blockTokens: number
  limits: StepLimits
}

/** The groups that workers are in, by the dimensions that have more than one. */
export type Invitations = Partial<Record<keyof ParallelPlan, Invitation>>

/** A worker's report of itself once it is ready. */
export interface WorkerInfo {
  layers: Range
  heads: Range
  weightBytes: number
  kvBytes: number
}

/** Milliseconds without progress before a group gives up. Deaths are noticed at once; a slow stage is not one. */
const GROUP_TIMEOUT = 600_000
/** The activations of this many steps may wait for the next stage. */
const STEPS_UNDER_WAY = 2

/** One worker of a model: its stage's layers, its shard of their width, its chunk of the tokens. */
export class ModelWorker {
  readonly #config: ModelConfig
  readonly #groups: Groups
  #stage: Stage | undefined
  #info: WorkerInfo | undefined

  constructor(private readonly spec: WorkerSpec) {
    this.#config = readConfig(spec.model)
    const groupOf = (dimension: keyof ParallelPlan): RankGroup => ({
      rank: spec.coordinates[dimension],
      size: spec.plan[dimension],
    })
    this.#groups = { pipeline: groupOf('pipeline'), tensor: groupOf('tensor'), sequence: groupOf('sequence') }
  }

  /**
   * Meets the other workers, and loads this worker's part of the model.
   * @param cores The cores of all workers of this node, and the first of this worker's, where each has its own.
   */
  async load(invitations: Invitations, cores?: CompileOptions['cores']): Promise<WorkerInfo> {
    const loading = this.loadInParts(invitations, cores)
    while (!(await loading.next()).done);
    return this.info()
  }

  /**
   * As load(), and tells meanwhile how much of this worker's weights is loaded.
   * @returns The bytes so far, from none on, when the other workers have been met.
   */
  async *loadInParts(invitations: Invitations, cores?: CompileOptions['cores']): AsyncGenerator<LoadProgress> {
    const { spin } = this.spec
    const messageBytes = this.#messageBytes()
    await Promise.all(
      Object.entries(invitations).map(async ([dimension, invitation]) => {
        const options = { spin, timeout: GROUP_TIMEOUT, ...(dimension === 'pipeline' ? { messageBytes } : {}) }
        this.#groups[dimension as keyof ParallelPlan].communicator = await invitation.join(options)
      }),
    )
    const checkpoint = openCheckpoint(this.spec.model)
    try {
      yield* this.#load(checkpoint, cores)
    } finally {
      checkpoint.close()
    }
  }

  /** What it reports of itself. */
  info(): WorkerInfo {
    if (!this.#info) throw new Error('load() has to come before info()')
    return this.#info
  }

  async *#load(checkpoint: Checkpoint, cores: CompileOptions['cores']): AsyncGenerator<LoadProgress> {
    const device = await openDevice(this.spec.device)
    const { cacheType: type, cacheBlocks: blocks, blockTokens, communication, layers, limits, threads } = this.spec
    const weights = new Weights(checkpoint, this.spec.loadFormat, device, threads)
    const context: LayerContext = {
      weights,
      device,
      groups: this.#groups,
      communication,
      cache: { type, blocks, blockTokens, bytes: 0 },
    }
    const decoder = makeDecoder(context, this.#config)
    const parts = yield* loadParts(decoder, context, this.#config, checkpoint, layers)
    this.#stage = compileStage(parts, context, this.#config, limits, { device, threads, ...(cores ? { cores } : {}) })
    const { tensor } = this.#groups
    this.#info = {
      layers,
      heads: partition(this.#config.heads, tensor.size, tensor.rank),
      weightBytes: weights.loadedBytes,
      kvBytes: context.cache.bytes,
    }
  }

  /**
   * Runs one step. The steps of all workers must be the same, in the same order.
   * @param hidden What the stage before gave, where hiddenStates() is used.
   * @returns What was found, on those of the last stage's workers that answer: the first shard's, by sequence rank. The
   * tokens of all come with the first rank's answer; logits, scores and final hidden states are of a rank's own tokens.
   */
  async step(step: Step, hidden?: Tensor<'float32'>): Promise<StepResult | undefined> {
    const { sequence, tensor } = this.#groups
    const firstOutput = sum(step.outputCounts.slice(0, sequence.rank))
    const program = await this.#run(step, firstOutput, hidden)
    const own = step.ranks[sequence.rank]!
    const { logits, logProbs, tokens, finalHidden } = program.outputs
    if (!logits || !tokens || tensor.rank !== 0) return undefined
    const result: StepResult = { tokens: sequence.rank === 0 ? integersOf(tokens, step.outputRows.length) : [] }
    const isOwn = (output: number) => output >= firstOutput && output < firstOutput + own.outputs.length
    const row = ({ data, columns }: Output, output: number) => {
      const index = output - firstOutput
      return data.subarray(index * columns, (index + 1) * columns)
    }
    const wanted = step.logits?.filter(isOwn)
    if (wanted) result.logits = new Map(wanted.map((output) => [output, row(logits, output).slice()]))
    if (step.logProbs) {
      const likeliest = [...step.logProbs.entries()].filter(([output, most]) => most >= 0 && isOwn(output))
      result.logProbs = new Map(
        likeliest.map(([output, most]) => [output, row(logProbs!, output).slice(0, 1 + 2 * most)]),
      )
    }
    if (step.targets) {
      result.scores = own.outputs.map((_, i) => {
        const target = step.targets![firstOutput + i]!
        return target < 0 ? 0 : logProbability(row(logits, firstOutput + i), target)
      })
    }
    if (own.finalHidden.length > 0) {
      const { data, columns } = finalHidden!
      result.finalHidden = own.finalHidden.map((_, i) => data.slice(i * columns, (i + 1) * columns))
    }
    return result
  }

  /**
   * Runs one step on a stage that is not the last, of a pipeline that was loaded without an invitation: whoever calls its
   * stages takes the activations from one to the next.
   * @param hidden [tokens, hidden] What the stage before gave; for all but the first.
   * @returns [tokens, hidden]
   */
  async hiddenStates(step: Step, hidden?: Tensor<'float32'>): Promise<Tensor<'float32'>> {
    const { outputs } = await this.#run(step, 0, hidden)
    const { columns, data } = outputs.hidden!
    const rows = step.ranks[this.#groups.sequence.rank]!.ids.length
    return Tensor.from('float32', [rows, columns], data.subarray(0, rows * columns))
  }

  /** The time that its runs so far have spent, by what they spent it on. */
  statistics(): ProgramStatistics {
    return this.#stage?.program.statistics ?? { busy: 0, waiting: 0, transfer: 0 }
  }

  /** What its runs so far have spent on each operation of its stage. */
  profile(): OperationProfile[] {
    return this.#stage?.program.profile() ?? []
  }

  async #run(step: Step, firstOutput: number, hidden: Tensor<'float32'> | undefined): Promise<Program> {
    const own = step.ranks[this.#groups.sequence.rank]
    if (!this.#stage || !own) throw new Error('load() has to come before step()')
    const { program, counts } = this.#stage
    this.#fill(program, step, firstOutput)
    if (counts) count(counts, step)
    if (hidden) program.inputs.hidden!.set(hidden.data)
    await program.run({
      tokens: own.ids.length,
      queries: step.sequence.length,
      outputs: own.outputs.length,
      finalHidden: own.finalHidden.length,
      allOutputs: step.outputRows.length,
      biases: (step.biases?.length ?? 0) / 2,
      masks: step.masks?.length ?? 0,
      feedbackSteps: step.feedbackCounts.length,
      feedbackTokens: step.feedbackRows.length,
    })
    return program
  }

  #fill(program: Program, step: Step, firstOutput: number): void {
    const { inputs } = program
    const own = step.ranks[this.#groups.sequence.rank]!
    const { blocks, sequence, counts, outputCounts, outputRows, feedbackCounts, feedbackRows } = step
    const outputs = own.outputs.length
    const ownRows = (rows: readonly number[], columns: number) =>
      rows.slice(columns * firstOutput, columns * (firstOutput + outputs))
    const values = {
      ...{ ...own, sequence, counts, outputCounts, outputRows, feedbackCounts, feedbackRows },
      settings: ownRows(step.settings, 4),
      adjustments: step.adjustments ? ownRows(step.adjustments, ADJUSTMENT_COLUMNS) : neutralAdjustments(outputs),
      biases: step.biases ?? [],
      logProbs: step.logProbs ? ownRows(step.logProbs, 1) : own.outputs.map(() => -1),
      countRows: step.countRows ?? outputRows.map(() => -1),
    }
    // A stage has the inputs that it needs.
    for (const [name, numbers] of Object.entries(values)) inputs[name]?.set(numbers)
    for (const [row, mask] of (step.masks ?? []).entries()) inputs.masks?.set(mask, row * mask.length)
    for (let i = 0; i < blocks.length; i += 3) {
      inputs.blockTables!.set([blocks[i + 2]!], blocks[i]! * this.spec.limits.blocksPerSequence + blocks[i + 1]!)
    }
  }

  #messageBytes(): number {
    const bytes = STEPS_UNDER_WAY * this.spec.limits.tokens * this.#config.hiddenSize * Float32Array.BYTES_PER_ELEMENT
    return 2 ** Math.ceil(Math.log2(Math.max(bytes, 2 ** 19)))
  }
}

/** The mark of a token that the prompt has, in the counts (see SampleAdjustments). */
const IN_PROMPT = 2 ** 30

function count({ data, shape }: Tensor<'int32'>, { counted = [] }: Step): void {
  for (const { row, prompt, generated } of counted) {
    const own = data.subarray(row * shape[1]!, (row + 1) * shape[1]!).fill(0)
    for (const token of prompt) own[token] = IN_PROMPT
    for (const token of generated) own[token]!++
  }
}

function integersOf({ data }: Output, count: number): number[] {
  return Array.from(new Int32Array(data.buffer, data.byteOffset, count))
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0)
}

/** Workers as actors. */
export const RemoteModelWorker = actor(import.meta.url, ModelWorker)
