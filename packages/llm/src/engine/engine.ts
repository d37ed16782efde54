import { resolve } from 'node:path'
import { type Cluster, describeActor, InvalidInputError, killActor, type Mesh, type NodeInfo } from '@troupe/core'
import { type CacheType, cacheBytes, type Precision } from '@troupe/tensor'
import { type ModelConfig, readConfig } from '../models/config.js'
import { checkPlan, chunkTokensOf, type Plan } from '../parallel/plan.js'
import { choosePlan } from '../planner/choose-plan.js'
import { DEFAULT_CACHE_TYPE } from '../planner/model-shape.js'
import { stageLayers } from '../planner/stage-layers.js'
import type { LoadFormat } from '../weights/quantize.js'
import { BlockPool } from './cache.js'
import { checkEngineOptions, checkPrompt, samplingParamsOf } from './options.js'
import { Replica } from './replica.js'
import { Request } from './request.js'
import type { Sampling } from './sampler.js'
import { Scheduler } from './scheduler.js'
import { type EngineStatistics, statisticsOf } from './statistics.js'
import { type GeneratedToken, type TokenSource, TokenStream } from './token-stream.js'
import { type Invitations, type ModelWorker, RemoteModelWorker, type WorkerInfo, type WorkerSpec } from './worker.js'

const BLOCK_TOKENS = 16
/** From the one whose workers are furthest apart on: pipeline between nodes, tensor inside of one. */
const DIMENSIONS = ['pipeline', 'sequence', 'tensor'] as const
/** Tokens of a step that keeps the logits after all of them. */
const SCORED_TOKENS = 128
/** The share of a node's memory that the KV cache may have by default. */
const CACHE_SHARE = 0.25

/** Which model is run, and how it is split and stored. */
export interface EngineOptions {
  /** A Hugging Face model directory or a GGUF file; on a cluster of several nodes, at the same path on each. */
  model: string
  /** How it is split; `auto` has the planner choose, which measures the nodes if it has not before. One worker by default. */
  plan?: Partial<Plan> | 'auto'
  /** How many layers each pipeline stage has; by default such that the stages take equally long. */
  layers?: readonly number[]
  /** Copies of the model, each on workers of its own, among which requests are divided. Default 1. */
  replicas?: number
  /** What matrices that are stored as floats are quantized to when they are loaded; by default they stay floats. */
  weights?: LoadFormat
  /**
   * How tensor shards send each other what they sum: `float32` by default. `bfloat16` halves the bytes and `int8` quarters
   * them, which pays over slow networks and costs accuracy; short steps, such as those of decoding, stay exact.
   */
  communication?: Precision
  /** The most tokens of a prompt and its answer; the model's own limit by default. */
  contextLength?: number
  /** The most sequences that a replica works on at once; further requests wait their turn. Default 16. */
  maxSequences?: number
  /**
   * The tokens of all sequences together that a replica's KV cache holds; at least contextLength. By default enough for
   * maxSequences full contexts, or for what a quarter of the nodes' memory holds if that is less. Memory is taken as it is
   * used.
   */
  cacheTokens?: number
  /**
   * What keys and values are rounded to in the KV cache: nothing (`float32`) by default. `float16` takes half the memory, and
   * `int8`, in groups of 32 with a scale, little more than a quarter, at a cost to accuracy.
   */
  cacheType?: CacheType
  /**
   * The most tokens that one step computes; longer prompts take several. Default 256, or 128 where pipeline stages overlap or
   * texts are scored.
   */
  chunkTokens?: number
  /** Whether score() is wanted, for which every step makes room for the logits after all of its tokens. Default false. */
  scoring?: boolean
  /** CPU threads a worker; by default the node's cores divided among its workers. */
  threads?: number
}

/** A running worker, as reported by the engine. */
export interface EngineWorker extends WorkerInfo {
  replica: number
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

/**
 * A model spread over a mesh of workers, which continue many texts at once (continuous batching): every step computes the
 * next token of several sequences and pieces of the prompts of others; requests begin as soon as there is room for them, in
 * the order they came. With several pipeline stages each works on the step of other sequences.
 *
 * A request gives the same tokens for the same seed whatever else is asked for at the same time, as it does under every plan:
 * logits from weights stored as floats differ by less than 1e-3, since a product of few tokens is rounded otherwise than one
 * of many. Only tokens that are as likely as each other to that precision can change places. Quantized weights are multiplied
 * by quantized activations, whose rounding moves logits further.
 *
 * @example
 * ```ts
 * const engine = await Engine.start(cluster, { model: 'models/tales', plan: { pipeline: 2, tensor: 2 } })
 * for await (const { token } of engine.generate(tokenizer.encode('Once'), { maxTokens: 100 })) show(token)
 * await engine.stop()
 * ```
 */
export class Engine {
  private constructor(
    readonly config: ModelConfig,
    readonly plan: Plan,
    readonly contextLength: number,
    readonly workers: readonly EngineWorker[],
    private readonly replicas: readonly Replica[],
    private readonly scoring: boolean,
  ) {}

  /**
   * Starts the workers of a plan and loads each one's part of the model.
   * @throws InvalidInputError if the model cannot be used or the plan does not fit it.
   */
  static async start(cluster: Cluster, options: EngineOptions): Promise<Engine> {
    checkEngineOptions(options)
    const model = resolve(options.model)
    const config = readConfig(model)
    const { replicas: replicaCount = 1, maxSequences = 16, scoring = false } = options
    const mostTokens = options.chunkTokens ?? (scoring ? SCORED_TOKENS : undefined)
    const chosen = await planOf(cluster, { ...options, model, ...(mostTokens ? { chunkTokens: mostTokens } : {}) })
    const plan: Plan = { pipeline: 1, tensor: 1, sequence: 1, ...chosen.plan }
    checkPlan(plan, config)
    const cacheType = options.cacheType ?? DEFAULT_CACHE_TYPE
    const contextLength = Math.min(options.contextLength ?? config.contextLength, config.contextLength)
    const chunkTokens = Math.min(mostTokens ?? chunkTokensOf(plan), contextLength)
    const stepTokens = Math.max(chunkTokens, maxSequences)
    // A rank may get a token more of each sequence than its even share.
    const rankTokens =
      plan.sequence === 1 ? stepTokens : Math.min(stepTokens, Math.ceil(stepTokens / plan.sequence) + maxSequences)
    const outputs = scoring ? rankTokens : Math.min(rankTokens, maxSequences)
    const nodes = await cluster.nodes()
    const cacheTokens = cacheTokensOf(options, {
      config,
      cacheType,
      contextLength,
      maxSequences,
      replicas: replicaCount,
      nodes,
    })
    const cacheBlocks = new BlockPool(plan.sequence, 0, BLOCK_TOKENS).blocksFor(cacheTokens)
    // One step for each stage, and some that wait for the first.
    const stepsAhead = plan.pipeline + 2

    const size = replicaCount * plan.pipeline * plan.tensor * plan.sequence
    const cores = Math.min(...nodes.map((node) => node.cpus))
    const perNode = Math.ceil(size / nodes.length)
    const threads = options.threads ?? Math.max(1, Math.floor(cores / perNode))
    const layers = stageLayers(config, plan.pipeline, chosen.layers)

    const sizes = Object.fromEntries(DIMENSIONS.map((dimension) => [dimension, plan[dimension]]))
    const dimensions = replicaCount > 1 ? { replica: replicaCount, ...sizes } : sizes
    const mesh = await RemoteModelWorker.spawnMesh(dimensions, ({ coordinates }): [WorkerSpec] => [
      {
        model,
        ...(options.weights ? { loadFormat: options.weights } : {}),
        communication: options.communication ?? 'float32',
        plan,
        coordinates: placeOf(coordinates as unknown as Plan),
        layers: layers[coordinates.pipeline!]!,
        threads,
        spin: perNode * threads <= cores,
        cacheType,
        cacheBlocks,
        blockTokens: BLOCK_TOKENS,
        limits: {
          tokens: rankTokens,
          queries: stepTokens,
          sequences: maxSequences,
          outputs,
          allOutputs: Math.min(stepTokens, outputs * plan.sequence),
          feeds: stepsAhead + plan.pipeline,
          blocksPerSequence: new BlockPool(plan.sequence, 0, BLOCK_TOKENS).blocksFor(contextLength),
        },
      },
    ])
    try {
      const workers = await connectWorkers(mesh, plan, perNode * threads <= cores ? threads : undefined)
      const replicas = await Promise.all(
        Array.from({ length: replicaCount }, (_, replica) => {
          const pool = new BlockPool(plan.sequence, cacheBlocks, BLOCK_TOKENS)
          const scheduler = new Scheduler(pool, {
            stages: plan.pipeline,
            sequences: maxSequences,
            tokens: stepTokens,
            window: config.slidingWindow,
          })
          const own = replicaCount > 1 ? mesh.slice({ replica }) : mesh
          return Replica.start(own, plan, scheduler, stepsAhead)
        }),
      )
      return new Engine(config, plan, contextLength, workers, replicas, scoring)
    } catch (error) {
      await kill(mesh)
      throw error
    }
  }

  /**
   * Continues `prompt`, token by token. Nothing is computed before the first token is asked for; a loop that ends early ends
   * the request.
   * @throws InvalidInputError, when the first token is asked for, if the prompt is empty, too long, or has tokens outside the
   * vocabulary, or if an option cannot be; LogitsError if the model computes what are no numbers; ActorDiedError if a worker
   * dies. After a death the replica is stopped, and others take further requests.
   */
  generate(prompt: readonly number[], options: GenerateOptions): AsyncGenerator<GeneratedToken, void, void> {
    return new TokenStream((stream) => {
      checkPrompt(prompt, this.contextLength, this.config.vocabularySize)
      const samplingParams = samplingParamsOf(options, this.config, this.contextLength - prompt.length)
      const request = new Request([...prompt], samplingParams, {
        token: (token, logits) => stream.push(logits ? { token, logits } : { token }),
        scores: () => {},
        end: () => stream.end(),
        fail: (error) => stream.end(error),
      })
      if (samplingParams.most >= 1) return this.#begin(request)
      stream.end()
      return { cancel: () => {} }
    })
  }

  /**
   * How likely a text is: the natural logarithm of the probability of each of its tokens but the first, given those before.
   * @throws InvalidInputError as generate() does for a prompt; Error if the engine was started without `scoring`.
   */
  async score(text: readonly number[]): Promise<number[]> {
    if (!this.scoring) throw new Error('an engine scores texts if it is started with scoring: true')
    const prompt = text.slice(0, -1)
    const last = text.slice(-1)
    checkPrompt(prompt, this.contextLength, this.config.vocabularySize)
    checkPrompt(last, this.contextLength, this.config.vocabularySize)
    const found: number[] = []
    await new Promise<void>((resolve, reject) => {
      const listener = {
        token: () => {},
        scores: (positions: readonly number[], scores: readonly number[]) => {
          for (const [i, position] of positions.entries()) found[position - 1] = scores[i]!
        },
        end: resolve,
        fail: reject,
      }
      this.#begin(new Request(prompt, undefined, listener, last[0]))
    })
    return found
  }

  /** What the workers have spent their time on since they started. */
  async statistics(): Promise<EngineStatistics> {
    return statisticsOf(
      await Promise.all(
        this.replicas.map(async (replica) => ({ stages: await replica.stageTimes(), elapsed: replica.elapsed })),
      ),
    )
  }

  /** Ends the workers. */
  async stop(): Promise<void> {
    const reason = new Error('the engine was stopped')
    await Promise.all(this.replicas.map((replica) => replica.stop(reason)))
  }

  /** Gives a request to the replica that has the least to do. */
  #begin(request: Request): TokenSource {
    const living = this.replicas.filter(({ failure }) => !failure)
    const [first, ...others] = living.length > 0 ? living : this.replicas
    const chosen = others.reduce((least, replica) => (replica.work < least.work ? replica : least), first!)
    chosen.add(request)
    return { cancel: () => chosen.cancel(request) }
  }
}

/** The plan, and the layers of its stages, that are asked for or that the planner chooses. */
async function planOf(
  cluster: Cluster,
  options: EngineOptions,
): Promise<Pick<EngineOptions, 'layers'> & { plan?: Partial<Plan> }> {
  const { plan, layers } = options
  if (plan !== 'auto') return { ...(plan ? { plan } : {}), ...(layers ? { layers } : {}) }
  if (!layers) return choosePlan(cluster, options)
  throw new InvalidInputError("plan: 'auto' chooses how many layers each stage has; leave layers out")
}

async function kill(mesh: Mesh<ModelWorker>): Promise<void> {
  await Promise.allSettled(mesh.members.map(({ handle }) => killActor(handle)))
}

/**
 * Lets the workers meet along each dimension, and waits until all have loaded their part.
 * @param coresEach The cores that each worker has to itself, if it has.
 */
async function connectWorkers(
  mesh: Mesh<ModelWorker>,
  plan: Plan,
  coresEach: number | undefined,
): Promise<EngineWorker[]> {
  const invitations: Invitations = {}
  for (const dimension of DIMENSIONS) {
    if (plan[dimension] > 1) invitations[dimension] = mesh.communicator(dimension)
  }
  const nodes = mesh.members.map(({ handle }) => describeActor(handle).nodeId)
  return Promise.all(
    mesh.members.map(async ({ handle, coordinates }, index) => {
      const place = coordinates as unknown as Plan & { replica?: number }
      const description = describeActor(handle)
      const countUpTo = (end: number) => nodes.slice(0, end).filter((node) => node === description.nodeId).length
      const cores = coresEach && { first: coresEach * countUpTo(index), all: coresEach * countUpTo(nodes.length) }
      const info = await (cores ? handle.load(invitations, cores) : handle.load(invitations))
      return { ...info, replica: place.replica ?? 0, coordinates: placeOf(place), ...description }
    }),
  )
}

function placeOf({ pipeline, tensor, sequence }: Plan): Plan {
  return { pipeline, tensor, sequence }
}

function cacheTokensOf(
  { cacheTokens }: EngineOptions,
  size: {
    config: ModelConfig
    cacheType: CacheType
    contextLength: number
    maxSequences: number
    replicas: number
    nodes: readonly NodeInfo[]
  },
): number {
  const { config, cacheType, contextLength, maxSequences, replicas, nodes } = size
  if (cacheTokens !== undefined) {
    if (Number.isInteger(cacheTokens) && cacheTokens >= contextLength) return cacheTokens
    throw new InvalidInputError(
      `cacheTokens must be a whole number of at least the context of ${contextLength} tokens; found ${cacheTokens}`,
    )
  }
  const { layers, keyValueHeads, headSize } = config
  const tokenBytes = 2 * layers * keyValueHeads * cacheBytes(cacheType, headSize)
  const memory = nodes.length * Math.min(...nodes.map(({ resources }) => resources.memory ?? 0))
  const affordable = Math.floor((CACHE_SHARE * memory) / (tokenBytes * replicas))
  return Math.max(contextLength, Math.min(maxSequences * contextLength, affordable))
}
