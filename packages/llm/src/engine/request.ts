import { createHash, randomBytes } from 'node:crypto'
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64'
import { mersenne } from 'pure-rand/generator/mersenne'
import type { Sampling, TokenMask } from './sampler.js'

/** Why a text ended: one of its end tokens, or its length. */
export type EndReason = 'stop' | 'length'

/** A generated token. */
export interface GeneratedToken {
  token: number
  /** [vocabulary] The logits that it was chosen by; with the first token, if they were asked for. */
  logits?: Float32Array
  /** The natural logarithm of the probability that the model gave it, and of the likeliest tokens in its place; if they were asked for. */
  logProb?: number
  top?: { token: number; logProb: number }[]
}

/** The listener that is told of a request's progress. */
export interface Listener {
  token(token: GeneratedToken): void
  /** The log-probabilities of the tokens at some positions of the text. */
  scores(positions: readonly number[], scores: readonly number[]): void
  /** The final hidden states, [hidden] each, of the tokens at some positions of the text. */
  hiddenStates(positions: readonly number[], states: readonly Float32Array[]): void
  end(reason: EndReason): void
  fail(error: Error): void
}

/** How a request's tokens are sampled. */
export interface SamplingParams {
  sampling: Sampling
  /** Random by default. */
  seed?: number | undefined
  /** The most tokens to sample. */
  maxTokens: number
  /** Tokens before which the text does not end. */
  minTokens: number
  /** The tokens at which the text ends. */
  endTokens: readonly number[]
  /** Added to the logits of tokens. */
  biases: readonly (readonly [token: number, bias: number])[]
  /** The likeliest tokens that are wanted with each, with their log-probabilities; none by default. */
  logProbs?: number | undefined
  /** What the text is held to. */
  mask?: TokenMask | undefined
  wantLogits: boolean
}

/** What is asked about a text: how it goes on, how likely its tokens are, or the final hidden states of its last token or of all. */
export type Task =
  | { kind: 'generate'; samplingParams: SamplingParams }
  /** `following`: the token that follows the text. */
  | { kind: 'score'; following: number }
  | { kind: 'embed'; tokens: 'last' | 'all' }

/**
 * A text, and what is asked about it. It is its prompt and what was found so far, from which it can be taken up anywhere, at any
 * time.
 */
export class Request {
  readonly #generator: ReturnType<typeof mersenne>
  readonly #draws: number[] = []
  /** The prompt, and the tokens that have been sampled. */
  readonly tokens: number[]
  readonly promptLength: number
  /** How many tokens were sampled or scored, or had their hidden states given out. */
  progress = 0
  /** Whether nobody wants it any more. */
  isCancelled = false
  /** Deaths of workers since it last got on, and how far that was. */
  #deaths = { count: 0, progress: 0 }
  /** Tokens of the prompt that were in the cache already when it began, on the workers that it is on. */
  cachedTokens = 0

  constructor(
    prompt: readonly number[],
    readonly task: Task,
    readonly listener: Listener,
  ) {
    this.tokens = [...prompt]
    this.promptLength = prompt.length
    this.#generator = mersenne(
      this.samplingParams?.seed === undefined ? randomBytes(4).readInt32LE() : seed32(this.samplingParams.seed),
    )
  }

  /** How its tokens are drawn, if any are. */
  get samplingParams(): SamplingParams | undefined {
    return this.task.kind === 'generate' ? this.task.samplingParams : undefined
  }

  /** The first position that something is still to come out of. */
  get firstOutput(): number {
    const isOfAll = this.task.kind === 'score' || (this.task.kind === 'embed' && this.task.tokens === 'all')
    return isOfAll ? this.progress : this.tokens.length - 1
  }

  /** Whether all is known of a text that is not continued. */
  get isFound(): boolean {
    return this.progress >= (this.task.kind === 'embed' && this.task.tokens === 'last' ? 1 : this.tokens.length)
  }

  /** Tokens that it may have in the cache. The last that is sampled is never computed on. */
  get cacheTokens(): number {
    if (!this.samplingParams) return this.tokens.length
    return this.tokens.length + Math.max(0, this.samplingParams.maxTokens - this.progress - 1)
  }

  /** The workers that computed it have died, and their cache with them; gives how often they did without it getting on. */
  survive(): number {
    const { count, progress } = this.#deaths
    this.cachedTokens = 0
    this.#deaths = { count: this.progress > progress ? 1 : count + 1, progress: this.progress }
    return this.#deaths.count
  }

  /** The tokens that have been sampled. */
  get generated(): number[] {
    return this.tokens.slice(this.promptLength)
  }

  /** The number, in [0, 1), that decides how a token of the answer is drawn. */
  random(index: number): number {
    while (this.#draws.length <= index) this.#draws.push(uniformFloat64(this.#generator))
    return this.#draws[index]!
  }
}

/** The generator takes seeds of 32 bits: larger ones are hashed, so that two of them are hardly ever equal. */
function seed32(seed: number): number {
  if (seed === (seed | 0)) return seed
  return createHash('sha256').update(String(seed)).digest().readInt32LE()
}
