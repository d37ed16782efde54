import type { Deployment } from './deployment.js'
import type { ModelShape, ShardShape } from './model-shape.js'

/** Bytes of a worker. */
export interface WorkerMemory {
  weights: number
  cache: number
  /** Of a step's intermediate values, and of the process itself. */
  working: number
}

export function total({ weights, cache, working }: WorkerMemory): number {
  return weights + cache + working
}

/** Bytes of a worker's process before it loads anything. */
const PROCESS_BYTES = 96 * 2 ** 20

/** The most that workers of a deployment need: for each layer, and for the embedding, the head and the rest. */
export class MemoryNeeds {
  readonly layer: { weights: number; cache: number }
  readonly embedding: number
  readonly head: number
  readonly working: number

  constructor(
    model: ModelShape,
    shard: ShardShape,
    { plan, cache, chunkTokens, sequences }: Pick<Deployment, 'plan' | 'cache' | 'chunkTokens' | 'sequences'>,
  ) {
    const { hiddenSize, headSize, activationBytes } = model
    const projected = 2 * (shard.heads + shard.keyValueHeads) * headSize
    const ofToken = 2 * shard.keyValueHeads * headSize * model.cacheBytes
    this.layer = {
      weights:
        hiddenSize *
        (projected * model.attention.bytesPerWeight + 3 * shard.columns * model.feedForward.bytesPerWeight),
      cache: cache.blocks * cache.blockTokens * ofToken,
    }
    this.embedding = hiddenSize * shard.rows * model.embedding.bytesPerWeight
    this.head = hiddenSize * shard.rows * model.head.bytesPerWeight
    const chunk = Math.ceil(Math.max(chunkTokens, sequences) / plan.sequence)
    const perToken = 4 * hiddenSize + projected + 3 * shard.columns
    this.working =
      PROCESS_BYTES + activationBytes * (chunk * perToken + sequences * (model.vocabularySize + shard.rows))
    this.#tied = model.tiedEmbeddings
  }

  readonly #tied: boolean

  worker(layers: number, isFirst: boolean, isLast: boolean): WorkerMemory {
    const isShared = this.#tied && isFirst && isLast
    const outer = (isFirst ? this.embedding : 0) + (isLast && !isShared ? this.head : 0)
    return { weights: layers * this.layer.weights + outer, cache: layers * this.layer.cache, working: this.working }
  }
}
