import { InvalidInputError } from '@troupe/core'
import type { CacheType } from '@troupe/tensor'
import type { ModelConfig } from '../models/config.js'
import { chunkTokensOf, type ParallelPlan } from '../parallel/plan.js'
import { type ClusterSpec, countNodes } from './cluster.js'
import { DEFAULT_CACHE_TYPE } from './model-shape.js'
import type { Dimension, NodeShare } from './placement.js'

/** Tokens in which the cache is given out. */
export const BLOCK_TOKENS = 16
/** Sequences that a replica works on at once, unless it is said otherwise. */
export const DEFAULT_SEQUENCES = 16
/** Tokens of a step that keeps the logits after all of them. */
const SCORED_TOKENS = 128
/** The share of a node's memory that the KV cache may have by default. */
const CACHE_SHARE = 0.25

/** Copies of a model that are divided and placed alike. */
export interface ReplicaGroup {
  count: number
  /** The layers of each stage. */
  layers: readonly number[]
  /**
   * Where the workers are: replica by replica, in each by the mapping, the ranks of its first dimension next to each other.
   * The last dimension of the mapping is that whose ranks are furthest apart.
   */
  shares: readonly NodeShare[]
}

/**
 * How an engine is built: plain data, which the planner predicts the speed and the memory of, and which the engine executes as
 * it is.
 */
export interface Deployment {
  plan: ParallelPlan
  /** The dimension whose ranks are closest together first. */
  mapping: readonly Dimension[]
  replicas: readonly ReplicaGroup[]
  /** The most tokens of a prompt and its answer. */
  contextLength: number
  /** The most sequences that a replica works on at once. */
  sequences: number
  /** The most tokens that one step computes, unless more sequences decode in it. */
  chunkTokens: number
  /** Whether each step makes room for the logits after all of its tokens. */
  scoring: boolean
  cache: CacheSizes
  /** Steps of a replica that are under way at once, from those that wait for the first stage to those in the last. */
  stepsAhead: number
}

/** The KV cache of a replica. */
export interface CacheSizes {
  type: CacheType
  /** Tokens of all sequences together. */
  tokens: number
  blockTokens: number
  /** Blocks on each sequence rank. */
  blocks: number
}

/** The sizes of a deployment that users may ask for. */
export interface DeploymentSizes {
  /** The most tokens of a prompt and its answer. */
  contextLength: number
  /** The most sequences that a replica works on at once. */
  maxSequences: number
  /** Tokens of all sequences together that a replica's cache holds; enough for all sequences by default. */
  cacheTokens?: number | undefined
  /** `float32` by default. */
  cacheType?: CacheType | undefined
  /** The most tokens that one step computes: by default 256, or 128 where pipeline stages overlap or texts are scored. */
  chunkTokens?: number | undefined
  scoring?: boolean | undefined
}

/**
 * The sizes of a deployment of a plan.
 * @throws InvalidInputError if the cache does not hold the longest text.
 */
export function sizesOf(plan: ParallelPlan, asked: DeploymentSizes): Omit<Deployment, 'plan' | 'mapping' | 'replicas'> {
  const { contextLength, maxSequences: sequences, cacheType: type = DEFAULT_CACHE_TYPE, scoring = false } = asked
  const { cacheTokens: tokens = sequences * contextLength } = asked
  if (!Number.isInteger(tokens) || tokens < contextLength) {
    throw new InvalidInputError(
      `cacheTokens must be a whole number of at least the context of ${contextLength} tokens; found ${tokens}`,
    )
  }
  const chunkTokens = asked.chunkTokens ?? (scoring ? SCORED_TOKENS : chunkTokensOf(plan))
  return {
    ...{ contextLength, sequences, scoring },
    chunkTokens: Math.min(chunkTokens, contextLength),
    cache: { type, tokens, blockTokens: BLOCK_TOKENS, blocks: blocksFor(tokens, plan.sequence, BLOCK_TOKENS) },
    // One step for each stage, and some that wait for the first.
    stepsAhead: plan.pipeline + 2,
  }
}

/** Blocks that so many tokens of a text need on each of `ranks`, among which they are dealt out one by one. */
export function blocksFor(tokens: number, ranks: number, blockTokens: number): number {
  return Math.ceil(tokens / (ranks * blockTokens))
}

/** Tokens that a replica's cache holds by default: all contexts, or those that a share of the nodes' memory has room for. */
export function defaultCacheTokens(
  cluster: ClusterSpec,
  model: Pick<ModelConfig, 'layers' | 'keyValueHeads' | 'headSize'> & { cacheBytes: number },
  { contextLength, maxSequences, replicas }: { contextLength: number; maxSequences: number; replicas: number },
): number {
  const { layers, keyValueHeads, headSize, cacheBytes } = model
  const tokenBytes = 2 * layers * keyValueHeads * headSize * cacheBytes
  const memory = countNodes(cluster) * Math.min(...cluster.nodes.map(({ device, devices }) => device.memory * devices))
  const affordable = Math.floor((CACHE_SHARE * memory) / (tokenBytes * replicas))
  return Math.max(contextLength, Math.min(maxSequences * contextLength, affordable))
}

/** A worker of a deployment. */
export interface WorkerPlacement {
  replica: number
  /** Its place in the plan. */
  coordinates: ParallelPlan
  /** Its node, by its number in the cluster. */
  node: number
  threads: number
  /** The cores of all workers of the node, and the first of this worker's, if each of their threads has one of its own. */
  cores?: { first: number; all: number }
}

/** The copies of the model that a deployment has. */
export function countReplicas({ replicas }: Pick<Deployment, 'replicas'>): number {
  return replicas.reduce((sum, { count }) => sum + count, 0)
}

/** The layers of each stage of a replica. */
export function layersOf({ replicas }: Pick<Deployment, 'replicas'>, replica: number): readonly number[] {
  let left = replica
  for (const { count, layers } of replicas) {
    if (left < count) return layers
    left -= count
  }
  throw new InvalidInputError(`the deployment has ${replica - left} replicas; found number ${replica}`)
}

/** The dimensions of a replica's mesh and their sizes, from that whose ranks are furthest apart on. */
export function planDimensions({ plan, mapping }: Pick<Deployment, 'plan' | 'mapping'>): Record<string, number> {
  return Object.fromEntries(mapping.toReversed().map((dimension) => [dimension, plan[dimension]]))
}

/**
 * The workers of a deployment, replica by replica in the order of their meshes.
 * @throws InvalidInputError if they are not as many as its plan and its replicas have.
 */
export function workersOf(deployment: Deployment): WorkerPlacement[] {
  const { plan, mapping, replicas } = deployment
  const slots = replicas.flatMap(({ shares }) => shares.flatMap(slotsOf))
  const inReplica = plan.pipeline * plan.tensor * plan.sequence
  const expected = inReplica * countReplicas(deployment)
  if (slots.length !== expected) {
    throw new InvalidInputError(`the deployment places ${slots.length} workers; its plan has ${expected}`)
  }
  const threadsOf = new Map<number, number>()
  for (const { node, threads } of slots) threadsOf.set(node, (threadsOf.get(node) ?? 0) + threads)
  const begun = new Map<number, number>()
  return slots.map(({ node, threads, cores }, index) => {
    const coordinates = { pipeline: 0, tensor: 0, sequence: 0 }
    let rest = index % inReplica
    for (const dimension of mapping) {
      coordinates[dimension] = rest % plan[dimension]
      rest = Math.floor(rest / plan[dimension])
    }
    const first = begun.get(node) ?? 0
    begun.set(node, first + threads)
    const all = threadsOf.get(node)!
    const own = all <= cores ? { cores: { first, all } } : {}
    return { replica: Math.floor(index / inReplica), coordinates, node, threads, ...own }
  })
}

function slotsOf({ node, nodes, workers, threads, cores }: NodeShare) {
  return Array.from({ length: nodes * workers }, (_, i) => ({ node: node + Math.floor(i / workers), threads, cores }))
}
