import { setImmediate } from 'node:timers/promises'
import type { LayerContext } from '../layers/context.js'
import type { CausalDecoder, DecoderLayer } from '../models/causal-decoder.js'
import type { ModelConfig } from '../models/config.js'
import type { Range } from '../parallel/plan.js'
import type { Checkpoint } from '../weights/checkpoint.js'

/** How much of a model's weights is loaded, of how much, in bytes as its files have them. */
export interface LoadProgress {
  loadedBytes: number
  totalBytes: number
}

/** The parts of a decoder that a pipeline stage has, with their weights. */
export interface StageParts {
  /** Of the first stage only. */
  first: Pick<Made, 'embedding'> | undefined
  layers: readonly DecoderLayer[]
  /** Of the last stage only. */
  last: Pick<Made, 'norm' | 'head'> | undefined
}

interface Made {
  embedding: ReturnType<CausalDecoder['embedding']>
  norm: ReturnType<CausalDecoder['norm']>
  head: ReturnType<CausalDecoder['head']>
}

/**
 * Loads the parts of a stage one after the other, with a turn of the event loop for others after each.
 * @returns Their bytes so far, from none on. Of weights that tensor ranks share, each is said to have an equal part.
 */
export async function* loadParts(
  decoder: CausalDecoder,
  { weights, groups: { pipeline, tensor } }: Pick<LayerContext, 'weights' | 'groups'>,
  config: ModelConfig,
  checkpoint: Checkpoint,
  { start, end }: Range,
): AsyncGenerator<LoadProgress, StageParts> {
  const isFirst = pipeline.rank === 0
  const isLast = pipeline.rank === pipeline.size - 1
  const indices = Array.from({ length: end - start }, (_, i) => start + i)
  const outer = isFirst || isLast ? weights.vocabularyTensors(config.tiedEmbeddings) : undefined
  const bytesOf = (prefix: string) => Math.floor(checkpoint.storedBytes(prefix) / tensor.size)
  const isShared = isLast && outer?.head === outer?.embedding
  const bytes = {
    first: outer && isFirst && !isShared ? bytesOf(outer.embedding) : 0,
    layers: indices.map((index) => bytesOf(`model.layers.${index}.`)),
    last: outer && isLast ? bytesOf('model.norm.') + bytesOf(outer.head) : 0,
  }
  const totalBytes = bytes.first + bytes.layers.reduce((sum, layer) => sum + layer, 0) + bytes.last
  let loadedBytes = 0
  const after = async (more: number): Promise<LoadProgress> => {
    await weights.ready()
    loadedBytes += more
    await setImmediate()
    return { loadedBytes, totalBytes }
  }

  yield await after(0)
  // Before the embedding, which then reads the same weight where the two are tied.
  const last = isLast ? { norm: decoder.norm(), head: decoder.head() } : undefined
  if (last) yield await after(bytes.last)
  const first = isFirst ? { embedding: decoder.embedding() } : undefined
  if (first) yield await after(bytes.first)
  const layers: DecoderLayer[] = []
  for (const [i, index] of indices.entries()) {
    layers.push(decoder.layer(index))
    yield await after(bytes.layers[i]!)
  }
  return { first, layers, last }
}
