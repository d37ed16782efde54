import { cacheElements, Tensor, type Trace, type Value } from '@troupe/tensor'
import { communicatorOf } from '../parallel/groups.js'
import { length, partition, type Range } from '../parallel/plan.js'
import type { LayerContext, StepValues } from './context.js'
import { ColumnParallelLinear, RowParallelLinear } from './linear.js'
import { RmsNorm } from './norm.js'

export interface AttentionShape {
  hiddenSize: number
  heads: number
  keyValueHeads: number
  headSize: number
  /** Whether the projections to queries, keys and values have biases, and whether the one of the output has. */
  inputBias?: boolean
  outputBias?: boolean
  /** The epsilon of the norms over each head of the queries and keys, where there are such. */
  headNormEpsilon?: number
  /** Whether a token sees only those in the step's window. */
  sliding?: boolean
}

/**
 * Causal self-attention with grouped key/value heads (arXiv 2305.13245) over a paged KV cache.
 *
 * Each tensor rank computes some query heads with the key/value heads that they read, which several ranks hold where
 * there are more ranks than such heads. Each sequence rank caches the keys and values of its own tokens, and its queries
 * attend over those of all ranks.
 */
export class Attention {
  readonly #query: ColumnParallelLinear
  readonly #key: ColumnParallelLinear
  readonly #value: ColumnParallelLinear
  readonly #output: RowParallelLinear
  readonly #queryNorm: RmsNorm | undefined
  readonly #keyNorm: RmsNorm | undefined
  readonly #keyHeadOf: Tensor
  readonly #keyCache: Tensor
  readonly #valueCache: Tensor
  readonly #keyHeads: Range

  constructor(
    private readonly context: LayerContext,
    name: string,
    private readonly shape: AttentionShape,
  ) {
    const { hiddenSize, headSize, inputBias: bias = false, outputBias = false, headNormEpsilon } = shape
    const { tensor } = context.groups
    const headsOf = (rank: number) => partition(shape.heads, tensor.size, rank)
    const heads = headsOf(tensor.rank)
    const keyHeads = keyHeadsOf(heads, shape)
    const numbers = (range: Range) => ({ start: range.start * headSize, end: range.end * headSize })
    const queryShape = { inputs: hiddenSize, outputs: shape.heads * headSize, bias }
    const keyShape = { inputs: hiddenSize, outputs: shape.keyValueHeads * headSize, bias }
    const outputShape = { inputs: shape.heads * headSize, outputs: hiddenSize, bias: outputBias }
    this.#query = new ColumnParallelLinear(context, `${name}.q_proj`, queryShape, numbers(heads))
    this.#key = new ColumnParallelLinear(context, `${name}.k_proj`, keyShape, numbers(keyHeads))
    this.#value = new ColumnParallelLinear(context, `${name}.v_proj`, keyShape, numbers(keyHeads))
    this.#output = new RowParallelLinear(context, `${name}.o_proj`, outputShape, (rank) => numbers(headsOf(rank)))

    if (headNormEpsilon !== undefined) {
      this.#queryNorm = new RmsNorm(context, `${name}.q_norm`, headSize, headNormEpsilon)
      this.#keyNorm = new RmsNorm(context, `${name}.k_norm`, headSize, headNormEpsilon)
    }

    const perKeyHead = shape.heads / shape.keyValueHeads
    const keyHeadOf = Array.from(
      { length: length(heads) },
      (_, i) => Math.floor((heads.start + i) / perKeyHead) - keyHeads.start,
    )
    this.#keyHeadOf = Tensor.from('int32', [keyHeadOf.length], keyHeadOf, { memory: 'private' })
    this.#keyHeads = keyHeads
    this.#keyCache = this.#cache()
    this.#valueCache = this.#cache()
  }

  forward(trace: Trace, x: Value, step: StepValues): Value {
    const { headSize } = this.shape
    const cacheShape = {
      headSize,
      keyHeads: length(this.#keyHeads),
      blockTokens: this.context.cache.blockTokens,
    }
    const keyCache = trace.constant(this.#keyCache)
    const valueCache = trace.constant(this.#valueCache)
    const key = normalized(trace, this.#key.forward(trace, x), this.#keyNorm)
    trace.cacheStore(trace.rotate(key, step.rotaryTable), step.slots, keyCache, { ...cacheShape, stored: 'keys' })
    trace.cacheStore(this.#value.forward(trace, x), step.slots, valueCache, { ...cacheShape, stored: 'values' })

    const query = normalized(trace, this.#query.forward(trace, x), this.#queryNorm)
    const rotated = trace.rotate(query, step.rotaryTable)
    const span: StepValues['attentionSpan'] = this.shape.sliding ? step.windowSpan : step.attentionSpan
    const keyHeadOf = trace.constant(this.#keyHeadOf)
    const options = { ...cacheShape, scale: 1 / Math.sqrt(headSize) }
    const attended =
      'spans' in span
        ? trace.sequenceAttention(
            rotated,
            keyCache,
            valueCache,
            span,
            keyHeadOf,
            options,
            communicatorOf(this.context.groups.sequence),
          )
        : trace.attention(rotated, keyCache, valueCache, span, keyHeadOf, options)
    return this.#output.forward(trace, attended)
  }

  #cache(): Tensor {
    const { cache, device } = this.context
    const elements = length(this.#keyHeads) * cache.blockTokens * cacheElements(cache.type, this.shape.headSize)
    const tensor = Tensor.zeros(cache.type, [cache.blocks, elements], { memory: 'private', device })
    cache.bytes += tensor.byteLength
    return tensor
  }
}

function normalized(trace: Trace, x: Value, norm: RmsNorm | undefined): Value {
  return norm ? norm.forward(trace, x) : x
}

/** The key/value heads that some query heads read. */
export function keyHeadsOf(heads: Range, shape: { heads: number; keyValueHeads: number }): Range {
  const perKeyHead = shape.heads / shape.keyValueHeads
  return { start: Math.floor(heads.start / perKeyHead), end: Math.floor((heads.end - 1) / perKeyHead) + 1 }
}
