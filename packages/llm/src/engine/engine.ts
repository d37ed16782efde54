import { randomBytes } from 'node:crypto'
import { resolve } from 'node:path'
import { ActorDiedError, type Cluster, describeActor, InvalidInputError, killActor, type Mesh } from '@troupe/core'
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64'
import { mersenne } from 'pure-rand/generator/mersenne'
import { type ModelConfig, readConfig } from '../models/config.js'
import { checkPlan, type Plan } from '../parallel/plan.js'
import { choosePlan } from '../planner/choose-plan.js'
import type { LoadFormat } from '../weights/quantize.js'
import { BlockAllocator } from './cache.js'
import type { Sampling } from './sampler.js'
import { type RankStep, SequenceState } from './sequence.js'
import {
  type Invitations,
  type ModelWorker,
  RemoteModelWorker,
  type StepResult,
  type WorkerInfo,
  type WorkerSpec,
} from './worker.js'

const BLOCK_TOKENS = 16
type Worker = Mesh<ModelWorker>['members'][number]['handle']

const DIMENSIONS = ['pipeline', 'tensor', 'sequence'] as const

/** Which model is run, and how it is split and stored. */
export interface EngineOptions {
  /** A Hugging Face model directory or a GGUF file; on a cluster of several nodes, at the same path on each. */
  model: string
  /** How it is split; `auto` has the planner choose, which measures the nodes if it has not before. One worker by default. */
  plan?: Partial<Plan> | 'auto'
  /** What matrices that are stored as floats are quantized to when they are loaded; by default they stay floats. */
  weights?: LoadFormat
  /** The most tokens of a prompt and its answer, for which the KV cache is made; the model's own limit by default. */
  contextLength?: number
  /** The most prompt tokens that one step takes; longer prompts take several, which overlap in the pipeline. */
  chunkTokens?: number
  /** Whether score() is wanted, for which every step makes room for the logits after all of its tokens. Default false. */
  scoring?: boolean
  /** CPU threads a worker; by default the node's cores divided among its workers. */
  threads?: number
}

/** A running worker, as reported by the engine. */
export interface EngineWorker extends WorkerInfo {
  coordinates: Plan
  name: string
  pid: number
  nodeId: string
}

/** How a text is continued. */
export interface GenerateOptions extends Partial<Sampling> {
  /** The most tokens to generate; fewer if the context is full or the text ends. */
  maxTokens: number
  /** Decides every draw; the same seed gives the same text under every plan. Random by default. */
  seed?: number
  /** Whether to stop at the model's end-of-text tokens, which are then not given out. Default true. */
  stopAtEnd?: boolean
  /** Whether to give out the logits that the first token was chosen by. */
  wantLogits?: boolean
}

/** A generated token; `logits` [vocabulary] come with the first if they were asked for. */
export interface GeneratedToken {
  token: number
  logits?: Float32Array
}

/**
 * A model spread over a mesh of workers. Generates one text at a time; further requests wait their turn.
 *
 * @example
 * ```ts
 * const engine = await Engine.start(cluster, { model: 'models/tales', plan: { pipeline: 2, tensor: 2 } })
 * for await (const { token } of engine.generate(tokenizer.encode('Once'), { maxTokens: 100 })) show(token)
 * await engine.stop()
 * ```
 */
export class Engine {
  readonly #allocators: BlockAllocator[]
  #turn: Promise<unknown> = Promise.resolve()
  #failure: Error | undefined

  private constructor(
    readonly config: ModelConfig,
    readonly plan: Plan,
    readonly contextLength: number,
    readonly workers: readonly EngineWorker[],
    private readonly mesh: Mesh<ModelWorker>,
    private readonly chunkTokens: number,
    private readonly scoring: boolean,
    cacheBlocks: number,
  ) {
    this.#allocators = Array.from({ length: plan.sequence }, () => new BlockAllocator(cacheBlocks))
  }

  /**
   * Starts the workers of a plan and loads each one's part of the model.
   * @throws InvalidInputError if the model cannot be used or the plan does not fit it.
   */
  static async start(cluster: Cluster, options: EngineOptions): Promise<Engine> {
    const model = resolve(options.model)
    const config = readConfig(model)
    const asked = options.plan === 'auto' ? await choosePlan(cluster, { ...options, model }) : options.plan
    const plan: Plan = { pipeline: 1, tensor: 1, sequence: 1, ...asked }
    checkPlan(plan, config)
    const contextLength = Math.min(options.contextLength ?? config.contextLength, config.contextLength)
    const chunkTokens = Math.min(options.chunkTokens ?? (options.scoring ? 128 : 512), contextLength)
    const rankTokens = Math.ceil(chunkTokens / plan.sequence) + 1
    const cacheBlocks = Math.ceil((Math.ceil(contextLength / plan.sequence) + 1) / BLOCK_TOKENS)

    const size = plan.pipeline * plan.tensor * plan.sequence
    const nodes = await cluster.nodes()
    const cores = Math.min(...nodes.map((node) => node.cpus))
    const perNode = Math.ceil(size / nodes.length)
    const threads = options.threads ?? Math.max(1, Math.floor(cores / perNode))

    const mesh = await RemoteModelWorker.spawnMesh({ ...plan }, ({ coordinates }): [WorkerSpec] => [
      {
        model,
        ...(options.weights ? { loadFormat: options.weights } : {}),
        plan,
        coordinates: coordinates as unknown as Plan,
        threads,
        spin: perNode * threads <= cores,
        cacheBlocks,
        blockTokens: BLOCK_TOKENS,
        limits: {
          tokens: rankTokens,
          queries: chunkTokens,
          sequences: 1,
          outputs: options.scoring ? rankTokens : 1,
          blocksPerSequence: cacheBlocks,
        },
      },
    ])
    try {
      const workers = await connectWorkers(mesh, plan)
      return new Engine(config, plan, contextLength, workers, mesh, chunkTokens, options.scoring ?? false, cacheBlocks)
    } catch (error) {
      await kill(mesh)
      throw error
    }
  }

  /**
   * Continues `prompt`, token by token.
   * @throws InvalidInputError if the prompt is empty, too long, or has tokens outside the vocabulary; ActorDiedError if a
   * worker dies. After a failure the engine is stopped.
   */
  async *generate(prompt: readonly number[], options: GenerateOptions): AsyncGenerator<GeneratedToken, void, void> {
    checkPrompt(prompt, this.contextLength, this.config.vocabularySize)
    const turn = await this.#takeTurn()
    try {
      yield* this.#generate(turn.sequence, prompt, options)
    } finally {
      turn.end()
    }
  }

  /**
   * How likely a text is: the natural logarithm of the probability of each of its tokens but the first, given those before.
   * @throws InvalidInputError as generate() does for a prompt; Error if the engine was started without `scoring`.
   */
  async score(text: readonly number[]): Promise<number[]> {
    if (!this.scoring) throw new Error('an engine scores texts if it is started with scoring: true')
    checkPrompt(text.slice(0, -1), this.contextLength, this.config.vocabularySize)
    checkPrompt(text.slice(-1), this.contextLength, this.config.vocabularySize)
    const turn = await this.#takeTurn()
    try {
      const chunks: Promise<number[]>[] = []
      for (let start = 0; start < text.length - 1; start += this.chunkTokens) {
        chunks.push(this.#score(turn.sequence, text, start, Math.min(start + this.chunkTokens, text.length - 1)))
      }
      return (await Promise.all(chunks)).flat()
    } finally {
      turn.end()
    }
  }

  /** Ends the workers. */
  async stop(): Promise<void> {
    this.#failure ??= new Error('the engine was stopped')
    await this.mesh.stop()
  }

  async *#generate(sequence: SequenceState, prompt: readonly number[], options: GenerateOptions) {
    const { temperature = 0, topK = 0, topP = 1, maxTokens, stopAtEnd = true, wantLogits = false } = options
    const sampling: Sampling = { temperature, topK, topP }
    const generator = mersenne(options.seed ?? randomBytes(4).readInt32LE())
    const step = (ids: readonly number[], wantOutput: boolean, logits: boolean) => {
      const random = wantOutput ? uniformFloat64(generator) : 0
      return this.#step(sequence.append(ids, wantOutput ? 'last' : 'none'), sampling, random, logits)
    }

    const most = Math.min(maxTokens, this.contextLength - prompt.length)
    if (most < 1) return
    let result = await this.#prefill(prompt, (ids, last) => step(ids, last, last && wantLogits))
    for (let count = 1; ; count++) {
      if (stopAtEnd && this.config.endTokens.includes(result.token)) return
      yield result
      if (count === most) return
      result = only(await step([result.token], true, false))
    }
  }

  /** Steps through the prompt without waiting in between, so that pipeline stages overlap. */
  async #prefill(
    prompt: readonly number[],
    step: (ids: readonly number[], last: boolean) => Promise<StepResult | undefined>,
  ): Promise<StepResult> {
    const steps: Promise<StepResult | undefined>[] = []
    for (let start = 0; start < prompt.length; start += this.chunkTokens) {
      const end = start + this.chunkTokens
      steps.push(step(prompt.slice(start, end), end >= prompt.length))
    }
    return only((await Promise.all(steps)).at(-1))
  }

  async #step(
    steps: RankStep[],
    sampling: Sampling,
    random: number,
    wantLogits: boolean,
  ): Promise<StepResult | undefined> {
    const results = await this.#onAll((worker) => worker.step(steps, sampling, random, wantLogits))
    return results.find((result) => result !== undefined)
  }

  /** The log-probabilities of the tokens after `start` up to `end`, which come after the tokens from `start` on. */
  async #score(sequence: SequenceState, text: readonly number[], start: number, end: number): Promise<number[]> {
    const steps = sequence.append(text.slice(start, end), 'all')
    const following = steps.map(({ positions }) => positions.map((position) => text[position + 1]!))
    const results = await this.#onAll((worker) => worker.score(steps, following))
    const scores: number[] = []
    this.mesh.members.forEach(({ coordinates }, index) => {
      const { positions } = steps[coordinates.sequence!]!
      results[index]?.forEach((score, i) => {
        scores[positions[i]! - start] = score
      })
    })
    return scores
  }

  /** Calls all workers. If one fails, ends them all and throws the cause. */
  async #onAll<T>(call: (worker: Worker) => PromiseLike<T>): Promise<T[]> {
    if (this.#failure) throw this.#failure
    const results = await Promise.allSettled(this.mesh.members.map(({ handle }) => call(handle)))
    const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as Error] : []))
    if (failures.length > 0) {
      // A dead worker makes the others' collectives fail; its own death is the cause that the caller should see.
      this.#failure ??= failures.find((failure) => failure instanceof ActorDiedError) ?? failures[0]!
      await kill(this.mesh)
      throw this.#failure
    }
    return results.map((result) => (result as PromiseFulfilledResult<T>).value)
  }

  /** Waits until requests before this one are done; gives a new sequence, which is released at the turn's end. */
  async #takeTurn(): Promise<{ sequence: SequenceState; end: () => void }> {
    const before = this.#turn
    let done = () => {}
    this.#turn = new Promise<void>((resolve) => {
      done = resolve
    })
    await before
    const sequence = new SequenceState(this.#allocators, BLOCK_TOKENS, this.config.slidingWindow)
    const end = () => {
      sequence.release()
      done()
    }
    return { sequence, end }
  }
}

/**
 * Checks that a model can continue a prompt.
 * @throws InvalidInputError if it is empty, fills the context, or has tokens outside the vocabulary.
 */
export function checkPrompt(prompt: readonly number[], contextLength: number, vocabularySize: number): void {
  if (prompt.length === 0) throw new InvalidInputError('the prompt is empty; give at least one token')
  if (prompt.length >= contextLength) {
    throw new InvalidInputError(
      `the prompt has ${prompt.length} tokens, but the context holds ${contextLength}, one of them for the answer; shorten the prompt`,
    )
  }
  const stranger = prompt.find((token) => !(Number.isInteger(token) && token >= 0 && token < vocabularySize))
  if (stranger !== undefined) {
    throw new InvalidInputError(`token ${stranger} is not in the vocabulary; expected 0 to ${vocabularySize - 1}`)
  }
}

function only(result: StepResult | undefined): StepResult {
  if (result) return result
  throw new Error('no worker sampled a token')
}

async function kill(mesh: Mesh<ModelWorker>): Promise<void> {
  await Promise.allSettled(mesh.members.map(({ handle }) => killActor(handle)))
}

/** Lets the workers meet along each dimension, and waits until all have loaded their part. */
async function connectWorkers(mesh: Mesh<ModelWorker>, plan: Plan): Promise<EngineWorker[]> {
  const invitations: Invitations = {}
  for (const dimension of DIMENSIONS) {
    if (plan[dimension] > 1) invitations[dimension] = mesh.communicator(dimension)
  }
  return Promise.all(
    mesh.members.map(async ({ handle, coordinates }) => {
      const info = await handle.load(invitations)
      return { ...info, coordinates: coordinates as unknown as Plan, ...describeActor(handle) }
    }),
  )
}
