import type { CacheShape, RowSymbol, Value } from '@troupe/tensor'
import type { Groups } from '../parallel/groups.js'
import type { Weights } from '../weights/weights.js'

/** What a layer needs while it is built: the weights, its worker's place in the plan, and the size of the KV cache. */
export interface LayerContext {
  weights: Weights
  groups: Groups
  cache: {
    blocks: number
    blockTokens: CacheShape['blockTokens']
    /** Bytes of the caches made so far. */
    bytes: number
  }
}

/** The inputs of a step as the layers see them. Tokens are this rank's; queries are those of all sequence ranks. */
export interface StepValues {
  tokens: RowSymbol
  queries: RowSymbol
  /** [tokens] */
  ids: Value
  /** [tokens, headSize] */
  rotaryTable: Value
  /** [tokens] Where in the cache each token's key and value go. */
  slots: Value
  /** [queries] The cached tokens that each query sees on this rank: [begin, end) of its sequence's blocks. */
  sequence: Value
  begin: Value
  end: Value
  /** [queries] The first cached token that each query sees in layers that attend over a sliding window. */
  windowBegin: Value
  /** [sequences, blocks] */
  blockTables: Value
  /** [sequence ranks] How many of the queries each rank gives. */
  counts: Value
  /** [outputs] The tokens whose logits are wanted. */
  outputs: Value
}
