import { createHash, randomBytes } from 'node:crypto'
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64'
import { mersenne } from 'pure-rand/generator/mersenne'
import type { Sampling } from './sampler.js'

/** The listener that is told of a request's progress. */
export interface Listener {
  token(token: number, logits: Float32Array | undefined): void
  /** The log-probabilities of the tokens at some positions of the text. */
  scores(positions: readonly number[], scores: readonly number[]): void
  end(): void
  fail(error: Error): void
}

/** How a request's tokens are sampled. */
export interface SamplingParams {
  sampling: Sampling
  /** Random by default. */
  seed?: number | undefined
  /** The most tokens to sample. */
  maxTokens: number
  /** The tokens at which the text ends. */
  endTokens: readonly number[]
  wantLogits: boolean
}

/** A text that is to be continued, or, where nothing is drawn, scored. */
export class Request {
  readonly #generator: ReturnType<typeof mersenne>

  constructor(
    readonly prompt: readonly number[],
    readonly samplingParams: SamplingParams | undefined,
    readonly listener: Listener,
    /** The token that follows the prompt, where it is scored. */
    readonly following = -1,
  ) {
    this.#generator = mersenne(
      samplingParams?.seed === undefined ? randomBytes(4).readInt32LE() : seed32(samplingParams.seed),
    )
  }

  /** Tokens that it may have in the cache. The last that is sampled is never computed on. */
  get cacheTokens(): number {
    return this.prompt.length + Math.max(0, (this.samplingParams?.maxTokens ?? 0) - 1)
  }

  /** The number, in [0, 1), that decides the next draw. */
  random(): number {
    return uniformFloat64(this.#generator)
  }
}

/** The generator takes seeds of 32 bits: larger ones are hashed, so that two of them are hardly ever equal. */
function seed32(seed: number): number {
  if (seed === (seed | 0)) return seed
  return createHash('sha256').update(String(seed)).digest().readInt32LE()
}
