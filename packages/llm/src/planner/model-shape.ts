import { InvalidInputError } from '@troupe/core'
import { type CacheType, cacheBytes } from '@troupe/tensor'
import { keyHeadsOf } from '../layers/attention.js'
import { type ModelConfig, readConfig } from '../models/config.js'
import { openCheckpoint } from '../models/open-checkpoint.js'
import { length, partition } from '../parallel/plan.js'
import { FORMATS } from '../weights/formats.js'
import type { LoadFormat } from '../weights/quantize.js'
import { vocabularyTensors } from '../weights/vocabulary-tensors.js'

/** Rounds nothing, so that every plan gives the same logits but for the order in which sums are added up. */
export const DEFAULT_CACHE_TYPE: CacheType = 'float32'

/** Weights as the planner sees them. */
export interface WeightFormat {
  /** As cluster files name it: `f16`, `q8_0`. */
  name: string
  bytesPerWeight: number
  /** The weights of a row that cannot be separated. */
  block: number
}

/** The sizes of a model that decide how long it computes, and how much memory it takes. */
export interface ModelShape {
  layers: number
  hiddenSize: number
  intermediateSize: number
  heads: number
  keyValueHeads: number
  headSize: number
  vocabularySize: number
  tiedEmbeddings: boolean
  /** Tokens that a token sees in layers with a window, and how many layers have one. */
  slidingWindow: number
  slidingLayers: number
  attention: WeightFormat
  feedForward: WeightFormat
  embedding: WeightFormat
  head: WeightFormat
  /** Bytes a number of activations, which is also what collectives move, and of the KV cache. */
  activationBytes: number
  cacheBytes: number
}

/** The largest part that one of `tensor` shards has: of heads, feed-forward columns and vocabulary rows. */
export interface ShardShape {
  heads: number
  keyValueHeads: number
  columns: number
  rows: number
}

/** Bytes of a number of activations. */
export const FLOAT_BYTES = 4

/**
 * The shape of a model on disk. Of a Hugging Face directory only config.json is needed if `weights` says what its matrices
 * are in.
 * @throws InvalidInputError if the model cannot be used, or its weights are missing and `weights` is too.
 */
export function readModelShape(model: string, weights?: LoadFormat, cacheType?: CacheType): ModelShape {
  const config = readConfig(model)
  const formatOf = weights ? () => weightFormat(weights) : storedFormats(model, config)
  return modelShape(config, formatOf, cacheType ?? DEFAULT_CACHE_TYPE)
}

/** The format of each kind of matrix. */
export type FormatOf = (kind: 'attention' | 'feedForward' | 'embedding' | 'head') => WeightFormat

export function modelShape(config: ModelConfig, formatOf: FormatOf, cacheType: CacheType): ModelShape {
  const { layers, hiddenSize, intermediateSize, heads, keyValueHeads, headSize, vocabularySize, tiedEmbeddings } =
    config
  return {
    ...{ layers, hiddenSize, intermediateSize, heads, keyValueHeads, headSize, vocabularySize, tiedEmbeddings },
    slidingWindow: config.slidingWindow ?? Number.POSITIVE_INFINITY,
    slidingLayers: config.slidingLayers.filter(Boolean).length,
    attention: formatOf('attention'),
    feedForward: formatOf('feedForward'),
    embedding: formatOf('embedding'),
    head: formatOf('head'),
    activationBytes: FLOAT_BYTES,
    cacheBytes: cacheBytes(cacheType, headSize) / headSize,
  }
}

/** A format of ours by its name. */
export function weightFormat(name: keyof typeof FORMATS): WeightFormat {
  const { blockElements, blockBytes } = FORMATS[name]
  return { name: name.toLowerCase(), bytesPerWeight: blockBytes / blockElements, block: blockElements }
}

function storedFormats(model: string, config: ModelConfig): FormatOf {
  let checkpoint: ReturnType<typeof openCheckpoint>
  try {
    checkpoint = openCheckpoint(model)
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error
    throw new InvalidInputError(`${error.message}; to plan without weights say what format they are in`)
  }
  try {
    const names = {
      attention: 'model.layers.0.self_attn.q_proj.weight',
      feedForward: 'model.layers.0.mlp.down_proj.weight',
      ...vocabularyTensors(checkpoint, config.tiedEmbeddings),
    }
    const formats = Object.entries(names).map(([kind, name]) => [kind, weightFormat(checkpoint.find(name).format)])
    const found = Object.fromEntries(formats) as Record<keyof typeof names, WeightFormat>
    return (kind) => found[kind]
  } finally {
    checkpoint.close()
  }
}

/** The largest shard of a model that is cut as the layers cut it. */
export function largestShard(model: ModelShape, tensor: number): ShardShape {
  const ranks = Array.from({ length: tensor }, (_, rank) => partition(model.heads, tensor, rank))
  const largest = (sizes: number[]) => Math.max(...sizes)
  return {
    heads: largest(ranks.map(length)),
    keyValueHeads: largest(ranks.map((heads) => length(keyHeadsOf(heads, model)))),
    columns: largest(
      ranks.map((_, rank) => length(partition(model.intermediateSize, tensor, rank, model.feedForward.block))),
    ),
    rows: Math.ceil(model.vocabularySize / tensor),
  }
}
