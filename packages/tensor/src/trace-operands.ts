import type { Communicator } from './communicator.js'
import type { DataType } from './data-type.js'
import type { DeviceName } from './device.js'
import type { Tensor } from './tensor.js'

/** A row count that each run of a program gives anew, and the most it may be. */
export interface RowSymbol {
  readonly index: number
  readonly name: string
  readonly limit: number
}

/** A matrix that an operation of a traced program reads or writes. */
export interface Value {
  readonly index: number
  readonly type: DataType
  readonly rows: RowSymbol | number
  readonly columns: number
  /** Set for constants and for state that outlives a run, such as a KV cache. */
  readonly tensor?: Tensor
  /** Whether the tensor holds the bytes of a {@link PackedWeight}. */
  readonly isPacked?: boolean
  /** Set for inputs, which JavaScript fills before each run. */
  readonly input?: string
}

/** One traced operation. */
export interface TracedOperation {
  readonly name: string
  readonly inputs: readonly Value[]
  readonly outputs: readonly Value[]
  readonly numbers: Readonly<Record<string, number>>
  /** Sizes and strides of an operation on arrays. */
  readonly geometry?: readonly number[]
  readonly group: Communicator | undefined
  /** The one of its inputs whose elements it changes. */
  readonly written?: Value | undefined
}

/** The shape of a paged KV cache: blocks of `blockTokens` tokens, each with `keyHeads` heads of `headSize` numbers. */
export interface CacheShape {
  blockTokens: number
  keyHeads: number
  headSize: number
}

/**
 * The forms in which ranks send numbers to each other: as they are; as bfloat16, of which each is off by 1/512 of itself at
 * most; or as int8, in groups of 32 with a scale, off by 1/254 of the largest in the group at most.
 */
export const PRECISIONS = ['float32', 'bfloat16', 'int8'] as const
/** One of {@link PRECISIONS}. */
export type Precision = (typeof PRECISIONS)[number]

/** The changes to logits before tokens are sampled from them. */
export interface SampleAdjustments {
  /**
   * [n, 8] For each row: the bits of the float32 minP (tokens less than this share as likely as the likeliest are not drawn;
   * arXiv 2407.01082), of the repetition penalty that divides positive logits of tokens that count, and multiplies negative ones
   * (arXiv 1909.05858), of what is taken from the logits of tokens that were generated, once, and each time; the row of `counts`,
   * or -1; the first of `biases` and the one past the last; the row of `masks`, or -1.
   */
  adjustments: Value
  /** [biases, 2] Tokens, and the bits of the float32 that is added to their logits. */
  biases: Value
  /** [rows, vocabulary] How often each token was generated, plus 2^30 if the prompt has it. */
  counts: Value
  /** [rows, vocabulary / 32] Bits of the tokens that may be drawn: token t is bit t % 32 of number t / 32. */
  masks: Value
}

/** The cached tokens that each query attends to, and where they are. */
export interface AttentionBatch {
  /** [queries] The row of `blockTables` that a query's tokens are found through. */
  sequence: Value
  /** [queries] The first cached token, and the one past the last, that a query sees. */
  begin: Value
  end: Value
  /** [sequences, blocks] The cache block of each run of blockTokens tokens. */
  blockTables: Value
}

/** Options of a program. */
export interface CompileOptions {
  /** Where it runs: by default, where its constants are, which are copied from the host to other devices. */
  device?: DeviceName
  /** Threads of the CPU. */
  threads: number
  /**
   * Cores [0, all) that several processes share out, by their numbers among those that a process may use: `first`, and as
   * many as there are threads, are this one's. A run that begins on another's is moved to its own, and not held there.
   */
  cores?: { first: number; all: number }
}

/** The same where the tokens of each sequence, and their queries, are divided among the ranks of a group. */
export interface SharedAttentionBatch {
  /** The cached tokens on this rank that the queries of all ranks see. */
  own: AttentionBatch
  /** [ranks] The number of queries that each rank gives; queries are listed rank by rank. */
  counts: Value
  /** The tokens that each query sees on every rank, as gatherSpans() gives them. */
  spans: Value
}
