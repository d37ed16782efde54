import { BlockHashes, type BlockPool } from './cache.js'
import type { Request } from './request.js'
import { type Draw, isPenalized, type TokenMask } from './sampler.js'
import { CachedSequence } from './sequence.js'
import type { CountedText, Segment } from './step.js'

/** A request that waits for its turn, or is under way in a row of the workers' tables. */
export class RunningSequence {
  readonly #hashes: BlockHashes
  #cached: CachedSequence | undefined
  /** Tokens to be computed before it decodes. */
  #prefill = 0
  /** Whether the workers count its tokens. */
  #isCounted = false
  /** How often it has begun. */
  turns = 0
  /** Tokens that steps were asked to sample. */
  requested: number
  /** The last step that it was in. */
  lastStep = Number.NEGATIVE_INFINITY
  isDone = false
  /** Why it cannot go on, where it is not the workers' fault. */
  failure: Error | undefined

  /** @param arrival Its place among all requests. */
  constructor(
    readonly request: Request,
    readonly arrival: number,
    private readonly pool: BlockPool,
  ) {
    this.#hashes = new BlockHashes(pool.tokens)
    this.requested = request.progress
  }

  /** Its part of the cache; only where it is under way. */
  get cached(): CachedSequence {
    return this.#cached!
  }

  /** Whether it has a row and blocks. */
  get isUnderWay(): boolean {
    return this.#cached !== undefined
  }

  /** Tokens whose keys and values are to be computed before it decodes. */
  get left(): number {
    return this.#prefill - this.cached.length
  }

  get isPrefilling(): boolean {
    return this.isUnderWay && this.left > 0
  }

  get isDecoding(): boolean {
    const { samplingParams, progress } = this.request
    if (samplingParams === undefined || !this.isUnderWay || this.left > 0) return false
    // What a text is held to says what may come next once it is known what came last.
    if (samplingParams.mask && this.requested > progress) return false
    return this.requested < samplingParams.maxTokens
  }

  begin(row: number): void {
    this.#cached = new CachedSequence(this.pool, row)
    this.#prefill = this.request.tokens.length
    this.#isCounted = false
    this.turns++
  }

  /** Gives up its blocks, to be computed again. */
  end(): void {
    this.publish()
    this.cached.release()
    this.#cached = undefined
  }

  /** Has the blocks be found whose tokens are known. */
  publish(): void {
    this.#cached?.publish(this.#known)
  }

  /** Blocks that it needs, beside those that others use, to compute all its tokens and one more. */
  get need(): number {
    const hashes = this.#known
    let shared = 0
    for (; shared < this.#attachable; shared++) {
      const block = this.pool.find(hashes[shared]!)
      if (block === undefined || !this.pool.isUsed(block)) break
    }
    return Math.ceil((this.request.tokens.length + 1) / this.pool.tokens) - shared
  }

  /** Tokens that others have computed. */
  get found(): number {
    const hashes = this.#known
    let blocks = 0
    while (blocks < this.#attachable && this.pool.find(hashes[blocks]!) !== undefined) blocks++
    return blocks * this.pool.tokens
  }

  /**
   * Takes over the blocks in which others have computed what comes next.
   * @returns how many tokens of the prompt they are; of one that gave up its blocks, none
   */
  attach(): number {
    const { request } = this
    const before = request.cachedTokens
    const { tokens } = this.pool
    const hashes = this.#known
    while (this.cached.length % tokens === 0 && this.cached.length < this.#attachable * tokens) {
      const block = this.pool.find(hashes[this.cached.length / tokens]!)
      if (block === undefined) break
      this.cached.attach(block)
      if (this.turns === 1) request.cachedTokens = Math.min(request.cachedTokens + tokens, request.promptLength)
    }
    return request.cachedTokens - before
  }

  /** The hash of the block that it computes next, if another may compute it as well. */
  get nextHash(): string | undefined {
    const block = Math.floor(this.cached.length / this.pool.tokens)
    return block < this.#attachable ? this.#known[block] : undefined
  }

  /** Its next tokens in a step. */
  piece(size: number): Segment {
    const { request, cached } = this
    const end = cached.length + size
    const ids = request.tokens.slice(cached.length, end)
    const last = end === this.#prefill ? 'last' : 'none'
    if (request.task.kind === 'score') return { cached, ids, outputs: request.firstOutput }
    if (request.task.kind === 'generate') return { cached, ids, outputs: last }
    return { cached, ids, outputs: 'none', finalHidden: request.task.tokens === 'all' ? request.firstOutput : last }
  }

  /** The token that was last sampled, in a step. */
  decode(): Segment {
    return { cached: this.cached, ids: [-1 - this.cached.row], outputs: 'last' }
  }

  /** How the next token is drawn; its text is counted from now on if it has not been. */
  draw(counted: CountedText[]): Draw | undefined {
    const { request, cached } = this
    const { samplingParams } = request
    if (!samplingParams) return undefined
    const { sampling, minTokens, endTokens, mask, logProbs } = samplingParams
    if (isPenalized(sampling) && !this.#isCounted) {
      this.#isCounted = true
      const { tokens, promptLength, generated } = request
      counted.push({ row: cached.row, prompt: tokens.slice(0, promptLength), generated })
    }
    const index = this.requested++
    const ends = index < minTokens ? endTokens.map((token) => [token, Number.NEGATIVE_INFINITY] as const) : []
    return {
      ...{ sampling, logProbs, row: cached.row, random: request.random(index) },
      biases: [...samplingParams.biases, ...ends],
      mask: mask && this.#next(mask),
    }
  }

  /** What may come next; a mask that cannot say fails its own text. */
  #next(mask: TokenMask): Int32Array | undefined {
    try {
      return mask.next()
    } catch (error) {
      this.failure = error as Error
      return undefined
    }
  }

  /** The hashes of the whole blocks whose tokens are known; none where texts share nothing. */
  get #known(): readonly string[] {
    return this.pool.isShared ? this.#hashes.of(this.request.tokens) : []
  }

  /** Whole blocks that need not be computed, since nothing comes out of them. */
  get #attachable(): number {
    return Math.floor(this.request.firstOutput / this.pool.tokens)
  }
}
