import type { BlockPool } from './cache.js'
import type { Request } from './request.js'
import { LogitsError, NO_DRAW, NOT_A_NUMBER, samplingRow } from './sampler.js'
import { CachedSequence } from './sequence.js'
import { layOut, type Segment, type Step, type StepOutput } from './step.js'

/** The limits of the workers it makes steps for. */
export interface SchedulerOptions {
  /** Stages of the pipeline, among which the sequences that decode are divided. */
  stages: number
  /** The most sequences under way. */
  sequences: number
  /** The most tokens a step. */
  tokens: number
  /** How many tokens, its own included, a query sees where attention slides; all by default. */
  window?: number | undefined
}

/** The findings of the workers in a step, by its outputs. */
export interface StepResult {
  /** -1 where none was sampled, and NOT_A_NUMBER where none could be. */
  tokens: number[]
  /** [vocabulary] each, of the outputs that it was asked for. */
  logits?: Map<number, Float32Array>
  scores?: number[]
}

/** A step, and what its outputs mean. */
export interface ScheduledStep {
  readonly number: number
  readonly step: Step
  readonly outputs: readonly StepOutput[]
  readonly sequences: readonly RunningSequence[]
}

/** A request under way. */
interface RunningSequence {
  readonly request: Request
  readonly cached: CachedSequence
  /** Tokens that steps were asked to sample, and those that have come. */
  requested: number
  received: number
  /** The last step that it was in. */
  lastStep: number
  isDone: boolean
}

/** While sequences decode, prompts take no more of a step, so that nobody waits long for the next token. */
const PROMPT_TOKENS_WHILE_DECODING = 128
/** Where prompts are cut: pieces of a few tokens are computed in another way, which rounds otherwise. */
const CUT = 16
const SHORTEST = 8

/**
 * Forms steps of the sequences under way: each decodes some sequences, and fills up with pieces of prompts. Requests begin in
 * the order they came, as soon as a place and the cache for all their tokens are free.
 *
 * A step may be asked for before the steps before it are done: a sampled token is known to the workers, which run steps in
 * order, before it is known here. So the sequences that decode are dealt out to as many steps as there are stages, and each
 * stage works on another step.
 */
export class Scheduler {
  readonly #waiting: Request[] = []
  #running: RunningSequence[] = []
  readonly #rows: number[]
  #number = 0
  #completed = -1
  /** The rows of the tokens that steps sample, from the first step on whose tokens have not gone back to the first stage. */
  readonly #awaitingFeedback: { number: number; rows: number[] }[] = []

  constructor(
    private readonly pool: BlockPool,
    private readonly options: SchedulerOptions,
  ) {
    this.#rows = Array.from({ length: options.sequences }, (_, row) => options.sequences - 1 - row)
  }

  /** Tokens that are still to be computed, at most. */
  get work(): number {
    const waiting = this.#waiting.reduce((sum, { cacheTokens }) => sum + cacheTokens, 0)
    return this.#running.reduce((sum, { request, cached }) => sum + request.cacheTokens - cached.length, waiting)
  }

  add(request: Request): void {
    this.#waiting.push(request)
  }

  /** Drops a request, wherever it is. */
  cancel(request: Request): void {
    const index = this.#waiting.indexOf(request)
    if (index >= 0) this.#waiting.splice(index, 1)
    const running = this.#running.find((sequence) => sequence.request === request)
    if (running) this.#finish(running)
  }

  /** Drops all requests, and tells them why. */
  fail(error: Error): void {
    const requests = [...this.#running.map(({ request }) => request), ...this.#waiting]
    this.#running = []
    this.#waiting.length = 0
    for (const { listener } of requests) listener.fail(error)
  }

  /** The next step, or undefined if there is nothing to be done before a step is completed or a request added. */
  next(): ScheduledStep | undefined {
    this.#admit()
    const decoding = this.#running.filter(isDecoding)
    const prompts = this.#running.filter(isPrefilling)
    if (prompts.length === 0 && decoding.length === 0) return undefined

    const due = this.#due(decoding, prompts.length === 0)
    const room = this.options.tokens - due.length
    const pieces = this.#pieces(prompts, decoding.length > 0 ? Math.min(room, PROMPT_TOKENS_WHILE_DECODING) : room)
    const sequences = [...due, ...pieces.map(({ sequence }) => sequence)]
    if (sequences.length === 0) return undefined
    return this.#schedule(sequences, [...due.map(decode), ...pieces.map(({ segment }) => segment)], due)
  }

  /** Steps are completed in the order they were made. */
  complete({ number, outputs, sequences }: ScheduledStep, result: StepResult): void {
    this.#completed = number
    const scored = new Map<RunningSequence, { positions: number[]; scores: number[] }>()
    /** Where the first logits are that are no numbers: a step's outputs come by the ranks that computed them. */
    const broken = new Map<RunningSequence, number>()
    outputs.forEach(({ segment, position }, index) => {
      const sequence = sequences[segment]!
      if (sequence.isDone) return
      const token = result.tokens[index]!
      if (token >= 0) {
        this.#receive(sequence, token, result.logits?.get(index))
        return
      }
      if (token === NOT_A_NUMBER || Number.isNaN(result.scores?.[index])) {
        broken.set(sequence, Math.min(position, broken.get(sequence) ?? position))
        return
      }
      const found = scored.get(sequence) ?? { positions: [], scores: [] }
      found.positions.push(position + 1)
      found.scores.push(result.scores![index]!)
      scored.set(sequence, found)
    })
    for (const [sequence, position] of broken) {
      scored.delete(sequence)
      this.#finish(sequence)
      sequence.request.listener.fail(new LogitsError(position))
    }
    for (const [sequence, { positions, scores }] of scored) this.#score(sequence, positions, scores)
  }

  #admit(): void {
    for (let first = this.#waiting[0]; first; first = this.#waiting[0]) {
      const blocks = this.pool.blocksFor(first.cacheTokens)
      if (this.#rows.length === 0 || !this.pool.reserve(blocks)) return
      this.#waiting.shift()
      const cached = new CachedSequence(this.pool, blocks, this.#rows.pop()!)
      this.#running.push({
        request: first,
        cached,
        requested: 0,
        received: 0,
        lastStep: -this.options.stages,
        isDone: false,
      })
    }
  }

  /** The sequences whose turn it is to decode: those whose tokens the first stage has, or will have without waiting. */
  #due(decoding: readonly RunningSequence[], isIdle: boolean): RunningSequence[] {
    const { stages } = this.options
    const share = Math.ceil(decoding.length / stages)
    const ready = decoding.filter(({ lastStep }) => lastStep <= this.#number - stages || lastStep <= this.#completed)
    const candidates = ready.length > 0 || !isIdle ? ready : [...decoding]
    return candidates.sort((a, b) => a.lastStep - b.lastStep).slice(0, share)
  }

  #pieces(prompts: readonly RunningSequence[], room: number): { sequence: RunningSequence; segment: Segment }[] {
    const pieces: { sequence: RunningSequence; segment: Segment }[] = []
    for (const sequence of prompts) {
      const { request, cached } = sequence
      const size = this.#pieceOf(request.prompt.length - cached.length, room)
      if (size === 0) break
      room -= size
      const end = cached.length + size
      const isLast = end === request.prompt.length
      const outputs = request.samplingParams ? (isLast ? 'last' : 'none') : 'all'
      pieces.push({ sequence, segment: { cached, ids: request.prompt.slice(cached.length, end), outputs } })
    }
    return pieces
  }

  /** How many of the `left` tokens of a prompt fit where there is `room`. */
  #pieceOf(left: number, room: number): number {
    if (left <= room) return left
    if (this.options.tokens < 2 * CUT) return room
    const size = Math.floor(room / CUT) * CUT
    return left - size < SHORTEST ? Math.max(0, size - CUT) : size
  }

  #schedule(
    sequences: readonly RunningSequence[],
    segments: readonly Segment[],
    due: readonly RunningSequence[],
  ): ScheduledStep {
    const number = this.#number++
    const feedback = this.#feedback(Math.max(this.#completed, ...due.map(({ lastStep }) => lastStep)))
    const { layout, outputs } = layOut(segments, this.options.window)
    const step: Step = { ...layout, outputRows: [], settings: [], ...feedback }
    outputs.forEach(({ segment, position }, index) => {
      const sequence = sequences[segment]!
      const { request, cached } = sequence
      const { samplingParams, prompt } = request
      step.outputRows.push(samplingParams ? cached.row : -1)
      step.settings.push(...samplingRow(samplingParams?.sampling ?? NO_DRAW, samplingParams ? request.random() : 0))
      if (!samplingParams) {
        step.targets ??= outputs.map(() => -1)
        step.targets[index] = prompt[position + 1] ?? request.following
      }
      if (samplingParams?.wantLogits && sequence.requested === 0) step.logits = [...(step.logits ?? []), index]
      if (samplingParams) sequence.requested++
    })
    for (const sequence of sequences) sequence.lastStep = number
    if (this.options.stages > 1 && outputs.length > 0) this.#awaitingFeedback.push({ number, rows: step.outputRows })
    return { number, step, outputs, sequences }
  }

  /** The token feedback that the first stage takes in: the tokens of all steps up to one. */
  #feedback(last: number): Pick<Step, 'feedbackCounts' | 'feedbackRows'> {
    const index = this.#awaitingFeedback.findIndex(({ number }) => number > last)
    const taken = this.#awaitingFeedback.splice(0, index < 0 ? this.#awaitingFeedback.length : index)
    return { feedbackCounts: taken.map(({ rows }) => rows.length), feedbackRows: taken.flatMap(({ rows }) => rows) }
  }

  #receive(sequence: RunningSequence, token: number, logits: Float32Array | undefined): void {
    const { listener, samplingParams } = sequence.request
    if (samplingParams!.endTokens.includes(token)) {
      this.#finish(sequence)
      listener.end()
      return
    }
    listener.token(token, logits)
    if (++sequence.received < samplingParams!.maxTokens || sequence.isDone) return
    this.#finish(sequence)
    listener.end()
  }

  #score(sequence: RunningSequence, positions: number[], scores: number[]): void {
    const { listener, prompt } = sequence.request
    listener.scores(positions, scores)
    sequence.received += positions.length
    if (sequence.received < prompt.length) return
    this.#finish(sequence)
    listener.end()
  }

  /**
   * Steps under way that still compute for it harm nobody who gets its blocks and its row next, since workers run steps in order.
   */
  #finish(sequence: RunningSequence): void {
    sequence.isDone = true
    this.#running.splice(this.#running.indexOf(sequence), 1)
    this.#rows.push(sequence.cached.row)
    sequence.cached.release()
  }
}

function isPrefilling({ request, cached }: RunningSequence): boolean {
  return cached.length < request.prompt.length
}

function isDecoding(sequence: RunningSequence): boolean {
  const { samplingParams } = sequence.request
  return samplingParams !== undefined && !isPrefilling(sequence) && sequence.requested < samplingParams.maxTokens
}

function decode({ cached }: RunningSequence): Segment {
  return { cached, ids: [-1 - cached.row], outputs: 'last' }
}
