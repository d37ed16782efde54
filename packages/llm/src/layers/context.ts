import type {
  AttentionBatch,
  CacheShape,
  CacheType,
  DeviceName,
  Precision,
  RowSymbol,
  SharedAttentionBatch,
  Value,
} from '@troupe/tensor'
import type { Groups } from '../parallel/groups.js'
import type { Weights } from '../weights/weights.js'

/** The surroundings of a layer while it is built: the weights, its worker's place in the plan, and the size of the KV cache. */
export interface LayerContext {
  weights: Weights
  groups: Groups
  /** Where the layers are computed, and what they keep from step to step lies. */
  device: DeviceName
  /** How tensor ranks send each other what they sum. */
  communication: Precision
  cache: {
    type: CacheType
    blocks: number
    blockTokens: CacheShape['blockTokens']
    /** Bytes of the caches made so far. */
    bytes: number
  }
}

/** The inputs of a step as the layers see them. Tokens are this sequence rank's. */
export interface StepValues {
  tokens: RowSymbol
  /** [tokens] */
  ids: Value
  /** [tokens, headSize] */
  rotaryTable: Value
  /** [tokens] Where in the cache each token's key and value go. */
  slots: Value
  /** The cached tokens that each query attends to, and the same in layers that attend over a sliding window. */
  attentionSpan: SharedAttentionBatch | AttentionBatch
  windowSpan: SharedAttentionBatch | AttentionBatch
  /** [outputs] The tokens whose logits are wanted. */
  outputs: Value
}
