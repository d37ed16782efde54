import type { ClusterSpec } from './cluster.js'
import { allGather, allReduce, allToAll, type Links, message, type Span, slowest } from './communication.js'
import type { ModelShape, ShardShape, WeightFormat } from './model-shape.js'
import type { StagePlace } from './placement.js'

/** The work that one step gives the ranks of a stage, over all of its sequences. */
export interface StepShape {
  tokens: number
  /** Tokens that the next token is wanted after. */
  outputs: number
  /** Pairs of a token and one that it attends to, itself among them. */
  pairs: number
  /** Tokens in the caches of the step's sequences, its own among them. */
  cached: number
  isPrefill: boolean
}

/** How attention goes over sequence ranks: keys and values travel, queries do, or heads are exchanged. */
export type SequenceScheme = 'pass-KV' | 'pass-Q' | 'all-to-all'

/** Seconds of a step on the rank with the most to do. */
export interface Cost {
  /** Time that the devices compute, by what bounds it. */
  compute: number
  memory: number
  overhead: number
  tensor: number
  sequence: number
  scheme?: SequenceScheme | undefined
}

export const FREE: Cost = { compute: 0, memory: 0, overhead: 0, tensor: 0, sequence: 0 }

export function seconds({ compute, memory, overhead, tensor, sequence }: Cost): number {
  return compute + memory + overhead + tensor + sequence
}

export function plus(a: Cost, b: Cost, times = 1): Cost {
  return {
    compute: a.compute + b.compute * times,
    memory: a.memory + b.memory * times,
    overhead: a.overhead + b.overhead * times,
    tensor: a.tensor + b.tensor * times,
    sequence: a.sequence + b.sequence * times,
    scheme: b.scheme ?? a.scheme,
  }
}

/** Operations of a program that a layer is, and that embedding and head are. */
const LAYER_OPERATIONS = 12
const OUTER_OPERATIONS = 3
/** Dispatches of a layer for its exchanges between sequence ranks; each further rank adds one. */
const EXCHANGE_DISPATCHES = 3

/** Computes the cost of layers, embedding and head on the workers of one stage. */
export class StageCosts {
  readonly #links: Links
  readonly #bandwidth: number
  readonly #cores: number
  readonly #tensorRanks: number
  readonly #sequenceRanks: number

  /** @param active Workers of a node that compute at the same time. */
  constructor(
    private readonly cluster: ClusterSpec,
    private readonly model: ModelShape,
    private readonly shard: ShardShape,
    private readonly place: StagePlace,
    ranks: { tensor: number; sequence: number },
    active: number,
  ) {
    const { group, coresPerWorker, threads = coresPerWorker } = place
    this.#links = { inside: group.link, between: cluster.link }
    this.#cores = group.cores ? Math.min(coresPerWorker, threads) : coresPerWorker
    this.#bandwidth = (group.nodeBandwidth ?? Number.POSITIVE_INFINITY) / active
    this.#tensorRanks = ranks.tensor
    this.#sequenceRanks = ranks.sequence
  }

  /** One layer; `window` is how many tokens a token sees in it. */
  layer(step: StepShape, window: number): Cost {
    const { model, shard } = this
    const { hiddenSize, headSize, activationBytes } = model
    const tokens = Math.ceil(step.tokens / this.#sequenceRanks)
    const projected = 2 * (shard.heads + shard.keyValueHeads) * headSize
    const projections = this.#product(tokens, hiddenSize * projected, model.attention)
    const feedForward = this.#product(tokens, 3 * hiddenSize * shard.columns, model.feedForward)
    const passed = 8 * hiddenSize + projected + 3 * shard.columns
    const elementwise = { ...FREE, memory: (tokens * passed * activationBytes) / this.#read(this.#device.bandwidth) }
    const attended = this.#attention(limited(step, window))
    const reduced = this.#tensorRanks > 1 ? 2 * this.#allReduce(tokens * hiddenSize * activationBytes) : 0
    const fixed = { ...FREE, overhead: LAYER_OPERATIONS * this.#device.operation, tensor: reduced }
    return [feedForward, elementwise, attended, fixed].reduce((sum, cost) => plus(sum, cost), projections)
  }

  embedding(step: StepShape): Cost {
    const tokens = Math.ceil(step.tokens / this.#sequenceRanks)
    const bytes = tokens * this.model.hiddenSize * this.model.activationBytes
    return { ...FREE, overhead: this.#device.operation, tensor: this.#tensorRanks > 1 ? this.#allReduce(bytes) : 0 }
  }

  head(step: StepShape): Cost {
    const { model, shard, place } = this
    if (step.outputs === 0) return FREE
    const product = this.#product(step.outputs, model.hiddenSize * shard.rows, model.head)
    const logits = step.outputs * model.vocabularySize * model.activationBytes
    const tensor = allGather(logits, place.tensor, this.#links)
    return plus(product, { ...FREE, overhead: OUTER_OPERATIONS * this.#device.operation, tensor })
  }

  /** Seconds that sending the step's activations to the next stage takes. */
  send(step: StepShape): number {
    const { place, model } = this
    const tokens = Math.ceil(step.tokens / this.#sequenceRanks)
    const span: Span = place.sendsBetween
      ? { nodes: 2, perNode: place.ranksPerNode }
      : { nodes: 1, perNode: place.ranksPerNode }
    return message(tokens * model.hiddenSize * model.activationBytes, slowest(span, this.#links))
  }

  get #device() {
    return this.place.group.device
  }

  #read(alone: number): number {
    return Math.min(alone * this.#cores, this.#bandwidth)
  }

  /** A product with `weights` weights: as long as the longer of its arithmetic and the reading of the weights. */
  #product(tokens: number, weights: number, format: WeightFormat): Cost {
    const rate = this.#device.formats[format.name]!
    return roofline((2 * tokens * weights) / (rate.flops * this.#cores), {
      bytes: weights * format.bytesPerWeight,
      bandwidth: this.#read(rate.bandwidth),
    })
  }

  #allReduce(bytes: number): number {
    return allReduce(bytes, this.place.tensor, this.#links)
  }

  #attention(step: StepShape): Cost {
    const { model, shard } = this
    const { flops, bandwidth } = this.#device.attention
    const ranks = this.#sequenceRanks
    const cached = (step.cached / ranks) * 2 * shard.keyValueHeads * model.headSize * model.cacheBytes
    const own = roofline((4 * shard.heads * model.headSize * step.pairs) / ranks / (flops * this.#cores), {
      bytes: cached,
      bandwidth: this.#read(bandwidth),
    })
    return ranks === 1 ? own : plus(own, this.#exchange(step, seconds(own)))
  }

  /** The cheapest scheme for `attending` seconds of attention a rank; decoding always passes queries. */
  #exchange(step: StepShape, attending: number): Cost {
    const queries = this.#passQueries(step, attending)
    if (!step.isPrefill) return { ...FREE, sequence: queries, scheme: 'pass-Q' }
    const schemes: [SequenceScheme, number][] = [
      ['pass-KV', this.#passKeys(step, attending)],
      ['pass-Q', queries],
    ]
    if (this.shard.heads >= this.#sequenceRanks) schemes.push(['all-to-all', this.#exchangeHeads(step)])
    const [scheme, sequence] = schemes.reduce((best, other) => (other[1] < best[1] ? other : best))
    const rounds = EXCHANGE_DISPATCHES + this.#sequenceRanks - 1
    return { ...FREE, sequence, overhead: this.cluster.dispatch * rounds, scheme }
  }

  /** Ring attention: what of a round's transfer its attention does not hide, in all rounds but the first. */
  #passKeys({ cached }: StepShape, attending: number): number {
    const ranks = this.#sequenceRanks
    const block = (cached / ranks) * 2 * this.#bytesOf(this.shard.keyValueHeads)
    return (ranks - 1) * Math.max(0, message(block, this.#ring) - attending / ranks)
  }

  /** Queries go around, or are gathered at once where they are few; then partial results and their log-sum-exps go back. */
  #passQueries({ tokens, isPrefill }: StepShape, attending: number): number {
    const { shard, model, place } = this
    const ranks = this.#sequenceRanks
    const block = (tokens / ranks) * this.#bytesOf(shard.heads)
    const returned = (ranks - 1) * (tokens / ranks) * shard.heads * (model.headSize + 1) * model.activationBytes
    const back = this.#ring.latency + allToAll(returned, place.sequence, this.#links)
    if (!isPrefill) return allGather(block * ranks, place.sequence, this.#links) + back
    return (ranks - 1) * Math.max(0, message(block, this.#ring) - attending / ranks) + back
  }

  /** Each rank gets some heads of all tokens, and gives their attention back: two exchanges that nothing hides. */
  #exchangeHeads({ tokens, cached }: StepShape): number {
    const { shard, place } = this
    const ranks = this.#sequenceRanks
    const others = (ranks - 1) / ranks
    const queries = others * (tokens / ranks) * this.#bytesOf(shard.heads)
    const keyHeads = Math.max(shard.keyValueHeads / ranks, 1)
    const keys = (ranks - 1) * (cached / ranks) * 2 * this.#bytesOf(keyHeads)
    return allToAll(queries + keys, place.sequence, this.#links) + allToAll(queries, place.sequence, this.#links)
  }

  get #ring() {
    return slowest(this.place.sequence, this.#links)
  }

  /** Bytes of one token's numbers in so many heads. */
  #bytesOf(heads: number): number {
    return heads * this.model.headSize * this.model.activationBytes
  }
}

function roofline(compute: number, read: { bytes: number; bandwidth: number }): Cost {
  const memory = read.bytes / read.bandwidth
  return compute > memory ? { ...FREE, compute } : { ...FREE, memory }
}

/** A step as a layer sees it in which a token sees no more than `window`. */
function limited(step: StepShape, window: number): StepShape {
  if (window === Number.POSITIVE_INFINITY) return step
  const sequences = step.isPrefill ? 1 : step.tokens
  const cached = Math.min(step.cached, sequences * window + (step.isPrefill ? step.tokens : 0))
  return { ...step, pairs: Math.min(step.pairs, step.tokens * window), cached }
}
