import { resolve } from 'node:path'
import type { Cluster } from '@troupe/core'
import type { CacheType, Precision, ProgramDevice } from '@troupe/tensor'
import { type ModelConfig, readConfig } from '../models/config.js'
import type { ParallelPlan } from '../parallel/plan.js'
import { deploymentFor } from '../planner/deploy.js'
import { countReplicas, type Deployment, workersOf } from '../planner/deployment.js'
import type { Dimension } from '../planner/placement.js'
import type { LoadFormat } from '../weights/quantize.js'
import { BlockPool } from './cache.js'
import { stepTokens } from './capacity.js'
import { Dispatcher } from './dispatcher.js'
import { type EngineWorker, launch } from './launch.js'
import type { EngineLoad } from './load.js'
import { LoadGauge } from './load-gauge.js'
import { checkEngineOptions, checkPrompt, checkText, samplingParamsOf } from './options.js'
import { type Pooling, pooled } from './pooling.js'
import { Replica } from './replica.js'
import { type Listener, Request, type Task } from './request.js'
import type { Sampling, TokenMask } from './sampler.js'
import { Scheduler } from './scheduler.js'
import type { LoadProgress } from './stage-parts.js'
import { type EngineStatistics, statisticsOf } from './statistics.js'
import { type TokenSource, TokenStream } from './token-stream.js'
import { WorkerGroup } from './worker-group.js'

/** The model that an engine runs, and how it is split and stored. */
export interface EngineOptions {
  /** A Hugging Face model directory or a GGUF file; on a cluster of several nodes, at the same path on each. */
  model: string
  /** How it is split; `auto` has the planner choose, which measures the nodes if it has not before. One worker by default. */
  plan?: Partial<ParallelPlan> | 'auto'
  /** How many layers each pipeline stage has; by default such that the stages take equally long. */
  layers?: readonly number[]
  /**
   * Which ranks are close together: the dimension whose ranks share a node first. Tensor, sequence, pipeline by default.
   */
  mapping?: readonly Dimension[]
  /**
   * A deployment to execute as it is, such as {@link choosePlan} gives, in place of a plan and of all sizes. By default the
   * one that {@link deploymentFor} gives for these options.
   */
  deployment?: Deployment
  /** Copies of the model, each on workers of its own, among which requests are divided. Default 1. */
  replicas?: number
  /** The format that matrices that are stored as floats are quantized to when they are loaded; by default they stay floats. */
  weights?: LoadFormat
  /**
   * How tensor shards send each other what they sum: `float32` by default. `bfloat16` halves the bytes and `int8` quarters
   * them, which pays over slow networks and costs accuracy; short steps, such as those of decoding, stay exact.
   */
  communication?: Precision
  /**
   * Where workers compute: `cpu` by default; or `webgpu`, where the workers of a node share its first adapter.
   */
  device?: ProgramDevice
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
   * The type that keys and values are rounded to in the KV cache: nothing (`float32`) by default. `bfloat16` and `float16` take half the
   * memory, and `int8`, in groups of 32 with a scale, little more than a quarter, at a cost to accuracy.
   */
  cacheType?: CacheType
  /**
   * Whether texts that begin alike share the keys and values of what is alike, also with texts that have ended for as long as the
   * cache has room. Default true.
   */
  prefixCaching?: boolean
  /**
   * The most tokens that one step computes; longer prompts take several. Default 256, or 128 where pipeline stages overlap or
   * texts are scored.
   */
  chunkTokens?: number
  /** Whether score() is wanted, for which every step makes room for the logits after all of its tokens. Default false. */
  scoring?: boolean
  /** CPU threads a worker; by default the node's cores divided among its workers. */
  threads?: number
  /**
   * Is told how much of the weights all workers together have loaded, from when each has begun until all have; not of workers that are
   * started later in place of some that died.
   */
  onLoadProgress?: (progress: LoadProgress) => void
}

/** How a text is continued. */
export interface GenerateOptions extends Partial<Sampling> {
  /** The most tokens to generate; fewer if the context is full or the text ends. */
  maxTokens: number
  /** Decides every draw; the same seed gives the same text under every plan. Random by default. */
  seed?: number
  /** Whether to stop at the model's end-of-text tokens, which are then not given out. Default true. */
  stopAtEnd?: boolean
  /** Further tokens to stop at, 16 at most, which are not given out. */
  stopTokens?: readonly number[]
  /** Tokens before which the text does not end. Default 0. */
  minTokens?: number
  /** Added to the logits of tokens, by their ids; 1,000 at most, from -100 to 100. */
  logitBias?: Readonly<Record<number, number>>
  /** Gives each token's log-probability, before sampling parameters, and this many likeliest ones in its place, up to 20. */
  logProbs?: number
  /** What the text is held to. */
  mask?: TokenMask
  /** Whether to give out the logits that the first token was chosen by. */
  wantLogits?: boolean
}

const NO_FINDINGS = { token: () => {}, scores: () => {}, hiddenStates: () => {} }

/**
 * A model spread over a mesh of workers, which continue many texts at once (continuous batching): every step computes the
 * next token of several sequences and pieces of the prompts of others; requests begin as soon as there is room for them, in
 * the order they came. With several pipeline stages each works on the step of other sequences.
 *
 * A request gives the same tokens for the same seed, to the last bit of their logits, whatever else is asked for at the same time
 * and whatever was asked for before. Between plans, logits from weights stored as floats differ by less than 1e-3, so that only tokens
 * that are as likely as each other to that precision can change places; weights that are quantized move them further.
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
    /** How it was built: what was predicted where the planner chose it. */
    readonly deployment: Deployment,
    private readonly dispatcher: Dispatcher,
  ) {}

  /** The workers, of which those of a replica are others after one of them has died. */
  get workers(): readonly EngineWorker[] {
    return this.dispatcher.replicas.flatMap(({ workers }) => workers)
  }

  /** How the model is split. */
  get plan(): ParallelPlan {
    return this.deployment.plan
  }

  /** The most tokens of a prompt and its answer. */
  get contextLength(): number {
    return this.deployment.contextLength
  }

  /** What it has to do, and how full its KV cache is. */
  get load(): EngineLoad {
    return this.dispatcher.load
  }

  /**
   * Starts the workers of a plan and loads each one's part of the model.
   * @throws InvalidInputError if the model cannot be used or the plan does not fit it.
   */
  static async start(cluster: Cluster, options: EngineOptions): Promise<Engine> {
    checkEngineOptions(options)
    const { onLoadProgress, ...asked } = options
    const model = resolve(options.model)
    const config = readConfig(model)
    const { weights, communication = 'float32', device = 'cpu', prefixCaching = true } = options
    const deployment = options.deployment ?? (await deploymentFor(cluster, { ...asked, model }))
    const loaded = { model, ...(weights ? { loadFormat: weights } : {}), communication, device }
    const { plan, cache, sequences, stepsAhead } = deployment
    const limits = { stages: plan.pipeline, sequences, tokens: stepTokens(deployment), window: config.slidingWindow }
    const gauge = new LoadGauge(workersOf(deployment).length, onLoadProgress)
    const startWorkers = async (replica: number) => {
      const onProgress = (rank: number, progress: LoadProgress) => gauge.update(replica, rank, progress)
      return WorkerGroup.bind(await launch(cluster, deployment, loaded, replica, onProgress), plan, stepsAhead)
    }
    const dispatcher = await Dispatcher.start(countReplicas(deployment), (replica, listener) =>
      Replica.start(
        {
          start: () => startWorkers(replica),
          isOpen: () =>
            cluster.nodes().then(
              () => true,
              () => false,
            ),
        },
        () => new Scheduler(new BlockPool(plan.sequence, cache.blocks, cache.blockTokens, prefixCaching), limits),
        stepsAhead,
        listener,
      ),
    )
    gauge.close()
    return new Engine(config, deployment, dispatcher)
  }

  /**
   * Continues `prompt`, token by token. Nothing is computed before the first token is asked for; a loop that ends early ends
   * the request.
   * @throws InvalidInputError, when the first token is asked for, if the prompt is empty, too long, or has tokens outside the
   * vocabulary, or if an option cannot be; LogitsError if the model computes what are no numbers; ActorDiedError if workers die again
   * and again. A worker that dies is replaced, and texts go on from what was known of them.
   */
  generate(prompt: readonly number[], options: GenerateOptions): TokenStream {
    return new TokenStream((stream) => {
      checkPrompt(prompt, this.contextLength, this.config.vocabularySize)
      const samplingParams = samplingParamsOf(options, this.config, this.contextLength - prompt.length)
      const request = new Request(
        prompt,
        { kind: 'generate', samplingParams },
        {
          ...NO_FINDINGS,
          token: (token) => stream.push(token),
          end: (reason) => stream.end(reason),
          fail: (error) => stream.end(error),
        },
      )
      if (samplingParams.maxTokens >= 1) return this.#begin(request)
      stream.end('length')
      return { cachedTokens: 0, cancel: () => {} }
    })
  }

  /**
   * How likely a text is: the natural logarithm of the probability of each of its tokens but the first, given those before.
   * @throws InvalidInputError as generate() does for a prompt; Error if the engine was started without `scoring`.
   */
  async score(text: readonly number[]): Promise<number[]> {
    if (!this.deployment.scoring) throw new Error('an engine scores texts if it is started with scoring: true')
    const prompt = text.slice(0, -1)
    const last = text.slice(-1)
    checkPrompt(prompt, this.contextLength, this.config.vocabularySize)
    checkPrompt(last, this.contextLength, this.config.vocabularySize)
    const found: number[] = []
    await this.#find(
      prompt,
      { kind: 'score', following: last[0]! },
      {
        scores: (positions, scores) => {
          for (const [i, position] of positions.entries()) found[position - 1] = scores[i]!
        },
      },
    )
    return found
  }

  /**
   * What the model makes of a text as one vector: the hidden states of its tokens behind the model's last norm, pooled.
   * @returns [hidden]
   * @throws InvalidInputError if the text is empty or too long, or has tokens outside the vocabulary; LogitsError and ActorDiedError
   * as generate() does.
   */
  async embed(text: readonly number[], pooling: Pooling = 'last'): Promise<Float32Array> {
    checkText(text, this.contextLength, this.config.vocabularySize)
    return pooled(text, pooling, this.config.hiddenSize, (tokens, of, hiddenStates) =>
      this.#find(tokens, { kind: 'embed', tokens: of }, { hiddenStates }),
    )
  }

  /** The time that the workers have spent on computing, moving data and waiting since they started. */
  async statistics(): Promise<EngineStatistics> {
    return statisticsOf(
      await Promise.all(
        this.dispatcher.replicas.map(async (replica) => ({
          stages: await replica.stageTimes(this.plan.pipeline),
          elapsed: replica.elapsed,
        })),
      ),
    )
  }

  /** Ends the workers. */
  async stop(): Promise<void> {
    await this.dispatcher.stop(new Error('the engine was stopped'))
  }

  /** Has something be found out about a text. */
  #find(text: readonly number[], task: Task, findings: Partial<Listener>): Promise<void> {
    return new Promise((resolve, reject) => {
      const listener = { ...NO_FINDINGS, ...findings, end: () => resolve(), fail: reject }
      this.#begin(new Request(text, task, listener))
    })
  }

  #begin(request: Request): TokenSource {
    this.dispatcher.add(request)
    return {
      get cachedTokens() {
        return request.cachedTokens
      },
      cancel: () => this.dispatcher.cancel(request),
    }
  }
}
