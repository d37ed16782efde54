import type { BlockPool } from './cache.js'
import type { EngineLoad } from './load.js'
import { dividePrompts } from './prompt-pieces.js'
import type { GeneratedToken, Request } from './request.js'
import { RunningSequence } from './running-sequence.js'
import { LogitsError, NOT_A_NUMBER, stepSampling } from './sampler.js'
import { type CountedText, layOut, type Segment, type Step, type StepOutput } from './step.js'

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
  /** The logarithm of the token's probability, then the likeliest tokens with theirs, of the outputs that it was asked for. */
  logProbs?: Map<number, Float32Array>
  scores?: number[]
  /** [hidden] each, of the tokens whose final hidden states are wanted. */
  finalHidden?: Float32Array[]
}

/** A step, and what its outputs mean. */
export interface ScheduledStep {
  readonly number: number
  readonly step: Step
  readonly outputs: readonly StepOutput[]
  /** The tokens whose final hidden states are wanted. */
  readonly finalHidden: readonly StepOutput[]
  readonly sequences: readonly RunningSequence[]
}

/** While sequences decode, prompts take no more of a step, so that nobody waits long for the next token. */
const PROMPT_TOKENS_WHILE_DECODING = 128
/**
 * Forms steps of the sequences under way: each decodes some sequences, and fills up with pieces of prompts. Requests begin in the
 * order they came, as soon as a place and the cache for what is to be computed of them are free. If the cache runs out, those that
 * came last give theirs up, and are computed again later: a request is what is known of its text.
 *
 * A step may be asked for before the steps before it are done: a sampled token is known to the workers, which run steps in
 * order, before it is known here. So the sequences that decode are dealt out to as many steps as there are stages, and each
 * stage works on another step.
 */
export class Scheduler {
  /** Both in the order they came. */
  readonly #waiting: RunningSequence[] = []
  #running: RunningSequence[] = []
  readonly #rows: number[]
  #arrivals = 0
  #number = 0
  #completed = -1
  /** What was counted so far. */
  #queriedTokens = 0
  #cachedTokens = 0
  #preemptions = 0
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
    const waiting = this.#waiting.reduce((sum, { request }) => sum + request.cacheTokens, 0)
    return this.#running.reduce((sum, { request, cached }) => sum + request.cacheTokens - cached.length, waiting)
  }

  get load(): Omit<EngineLoad, 'restarts'> {
    const { blocks, free } = this.pool
    return {
      ...{ running: this.#running.length, waiting: this.#waiting.length, blocks, blocksUsed: blocks - free },
      ...{ steps: this.#number, queriedTokens: this.#queriedTokens, cachedTokens: this.#cachedTokens },
      preemptions: this.#preemptions,
    }
  }

  /** Tokens of a request that would be found in the cache if it began now. */
  cachedTokens(request: Request): number {
    return new RunningSequence(request, this.#arrivals, this.pool).found
  }

  add(request: Request): void {
    this.#waiting.push(new RunningSequence(request, this.#arrivals++, this.pool))
  }

  /** Drops a request, wherever it is. */
  cancel(request: Request): void {
    const sequence = [...this.#waiting, ...this.#running].find((sequence) => sequence.request === request)
    if (sequence) this.#finish(sequence)
  }

  /** Drops all requests; gives them in the order they came. */
  drain(): Request[] {
    const requests = [...this.#running, ...this.#waiting].map(({ request }) => request)
    this.#running = []
    this.#waiting.length = 0
    return requests
  }

  /** The next step, or undefined if there is nothing to be done before a step is completed or a request added. */
  next(): ScheduledStep | undefined {
    this.#admit()
    const isIdle = !this.#running.some(({ isPrefilling }) => isPrefilling)
    const decoding = this.#decoding(isIdle)
    const room = this.options.tokens - decoding.length
    const most = this.#running.some(({ isDecoding }) => isDecoding)
      ? Math.min(room, PROMPT_TOKENS_WHILE_DECODING)
      : room
    const pieces = this.#pieces(most, new Set(decoding))
    const sequences = [...decoding, ...pieces.map(({ sequence }) => sequence)]
    if (sequences.length === 0) return undefined
    const segments = [...decoding.map((sequence) => sequence.decode()), ...pieces.map(({ segment }) => segment)]
    return this.#schedule(sequences, segments, decoding)
  }

  /** Steps are completed in the order they were made. */
  complete({ number, outputs, finalHidden, sequences }: ScheduledStep, result: StepResult): void {
    this.#completed = number
    const scored = new Map<RunningSequence, { positions: number[]; scores: number[] }>()
    /** Where the first logits are that are no numbers: a step's outputs come by the ranks that computed them. */
    const broken = new Map<RunningSequence, number>()
    outputs.forEach(({ segment, position }, index) => {
      const sequence = sequences[segment]!
      if (sequence.isDone) return
      const token = result.tokens[index]!
      if (token >= 0) {
        this.#receive(sequence, generatedToken(token, result, index))
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
    for (const [sequence, { positions, scores }] of scored) {
      this.#find(sequence, positions.length, ({ listener }) => listener.scores(positions, scores))
    }
    this.#embed(finalHidden, sequences, result.finalHidden ?? [])
  }

  /** Lets requests begin while there is room for what is to be computed of them, and a block for each text that grows. */
  #admit(): void {
    for (let first = this.#waiting[0]; first; first = this.#waiting[0]) {
      // Tokens of steps under way, from before it gave up its blocks, are still to come.
      if (this.#rows.length === 0 || first.lastStep > this.#completed) return
      const promised = this.#running.reduce(
        (blocks, { left, cached }) => blocks + (left > 0 ? cached.blocksFor(left) : 1),
        0,
      )
      if (this.#running.length > 0 && first.need > this.pool.free - promised) return
      this.#waiting.shift()
      first.begin(this.#rows.pop()!)
      if (first.turns === 1) this.#queriedTokens += first.request.promptLength
      this.#running.push(first)
    }
  }

  /** The sequences whose turn it is to decode: those whose tokens the first stage has, or will have without waiting. */
  #decoding(isIdle: boolean): RunningSequence[] {
    const { stages } = this.options
    const decoding = this.#running.filter(({ isDecoding }) => isDecoding)
    const share = Math.ceil(decoding.length / stages)
    const ready = decoding.filter(({ lastStep }) => lastStep <= this.#number - stages || lastStep <= this.#completed)
    const candidates = ready.length > 0 || !isIdle ? ready : decoding
    const due = candidates.sort((a, b) => a.lastStep - b.lastStep).slice(0, share)
    // Those that came first take blocks first, from those that came last, which then are not under way any more.
    due.sort((a, b) => a.arrival - b.arrival)
    return due.filter((sequence) => sequence.isUnderWay && this.#makeRoom(sequence, 1, new Set()) > 0)
  }

  /** Pieces of prompts that fit in a step beside those that decode in it. */
  #pieces(room: number, inStep: Set<RunningSequence>): { sequence: RunningSequence; segment: Segment }[] {
    /** Blocks that a text before computes, which one after it that begins alike waits for. */
    const coming = new Set<string>()
    const prompts = this.#running.filter((sequence) => {
      if (!sequence.isPrefilling) return false
      this.#cachedTokens += sequence.attach()
      const { nextHash } = sequence
      if (nextHash !== undefined && coming.has(nextHash)) return false
      if (nextHash !== undefined) coming.add(nextHash)
      return true
    })
    const sizes = dividePrompts(
      prompts.map(({ left }) => left),
      room,
    )
    return prompts.flatMap((sequence, index) => {
      if (sizes[index] === 0 || !sequence.isUnderWay) return []
      const size = this.#makeRoom(sequence, sizes[index]!, inStep)
      if (size === 0) return []
      inStep.add(sequence)
      return { sequence, segment: sequence.piece(size) }
    })
  }

  /**
   * Takes blocks for the next tokens of a sequence, if need be from those that came after it and are not in the step.
   * @returns how many tokens they hold; 0 if it had to give up its own
   */
  #makeRoom(sequence: RunningSequence, tokens: number, inStep: ReadonlySet<RunningSequence>): number {
    const { cached } = sequence
    while (this.pool.free < cached.blocksFor(tokens)) {
      const last = this.#running.at(-1)!
      if (inStep.has(last) || (last === sequence && sequence.isPrefilling)) break
      this.#preempt(last)
      if (last === sequence) return 0
    }
    const size = Math.min(tokens, cached.roomIn(this.pool.free))
    cached.reserve(size)
    return size
  }

  /** Steps under way that still compute for a sequence harm nobody who gets its blocks and its row next, since workers run steps in order. */
  #preempt(sequence: RunningSequence): void {
    this.#preemptions++
    this.#leave(sequence)
    const index = this.#waiting.findIndex(({ arrival }) => arrival > sequence.arrival)
    this.#waiting.splice(index < 0 ? this.#waiting.length : index, 0, sequence)
  }

  #schedule(
    sequences: readonly RunningSequence[],
    segments: readonly Segment[],
    decoding: readonly RunningSequence[],
  ): ScheduledStep {
    const number = this.#number++
    const feedback = this.#feedback(Math.max(this.#completed, ...decoding.map(({ lastStep }) => lastStep)))
    const { layout, outputs, finalHidden } = layOut(segments, this.options.window)
    const counted: CountedText[] = []
    const isFirst = outputs.map(({ segment }) => sequences[segment]!.requested === 0)
    const draws = outputs.map(({ segment }) => sequences[segment]!.draw(counted))
    const step: Step = { ...layout, ...stepSampling(draws), ...feedback }
    if (counted.length > 0) step.counted = counted
    outputs.forEach(({ segment, position }, index) => {
      const { task, tokens } = sequences[segment]!.request
      if (task.kind === 'score') {
        step.targets ??= outputs.map(() => -1)
        step.targets[index] = tokens[position + 1] ?? task.following
      } else if (task.kind === 'generate' && task.samplingParams.wantLogits && isFirst[index]) {
        step.logits = [...(step.logits ?? []), index]
      }
    })
    for (const sequence of sequences) {
      sequence.publish()
      sequence.lastStep = number
    }
    if (this.options.stages > 1 && outputs.length > 0) this.#awaitingFeedback.push({ number, rows: step.outputRows })
    for (const sequence of sequences) {
      if (!sequence.failure) continue
      this.#finish(sequence)
      sequence.request.listener.fail(sequence.failure)
    }
    return { number, step, outputs, finalHidden, sequences }
  }

  /** The token feedback that the first stage takes in: the tokens of all steps up to one. */
  #feedback(last: number): Pick<Step, 'feedbackCounts' | 'feedbackRows'> {
    const index = this.#awaitingFeedback.findIndex(({ number }) => number > last)
    const taken = this.#awaitingFeedback.splice(0, index < 0 ? this.#awaitingFeedback.length : index)
    return { feedbackCounts: taken.map(({ rows }) => rows.length), feedbackRows: taken.flatMap(({ rows }) => rows) }
  }

  #receive(sequence: RunningSequence, generated: GeneratedToken): void {
    const { request } = sequence
    const { listener, samplingParams } = request
    const { token } = generated
    if (samplingParams!.endTokens.includes(token)) {
      this.#finish(sequence)
      listener.end('stop')
      return
    }
    request.tokens.push(token)
    request.progress++
    samplingParams!.mask?.accept(token)
    sequence.publish()
    listener.token(generated)
    if (request.progress < samplingParams!.maxTokens || sequence.isDone) return
    this.#finish(sequence)
    listener.end('length')
  }

  #embed(
    wanted: readonly StepOutput[],
    sequences: readonly RunningSequence[],
    finalHidden: readonly Float32Array[],
  ): void {
    if (wanted.length === 0) return
    for (const [index, sequence] of sequences.entries()) {
      const found = wanted.flatMap(({ segment, position }, i) =>
        segment === index ? [{ position, state: finalHidden[i]! }] : [],
      )
      if (sequence.isDone || found.length === 0) continue
      const positions = found.map(({ position }) => position)
      const broken = found.filter(({ state }) => !state.every(Number.isFinite))
      if (broken.length > 0) {
        this.#finish(sequence)
        const first = Math.min(...broken.map(({ position }) => position))
        sequence.request.listener.fail(new LogitsError(first, 'hidden states'))
        continue
      }
      const states = found.map(({ state }) => state)
      this.#find(sequence, positions.length, ({ listener }) => listener.hiddenStates(positions, states))
    }
  }

  /** So many more tokens of a text that is not continued have been dealt with. */
  #find(sequence: RunningSequence, tokens: number, tell: (request: Request) => void): void {
    const { request } = sequence
    tell(request)
    request.progress += tokens
    if (!request.isFound) return
    this.#finish(sequence)
    request.listener.end('length')
  }

  #finish(sequence: RunningSequence): void {
    if (sequence.isDone) return
    sequence.isDone = true
    if (sequence.isUnderWay) this.#leave(sequence)
    else this.#waiting.splice(this.#waiting.indexOf(sequence), 1)
  }

  #leave(sequence: RunningSequence): void {
    this.#running.splice(this.#running.indexOf(sequence), 1)
    this.#rows.push(sequence.cached.row)
    sequence.end()
  }
}

function generatedToken(token: number, { logits, logProbs }: StepResult, index: number): GeneratedToken {
  const generated: GeneratedToken = { token }
  const own = logits?.get(index)
  if (own) generated.logits = own
  const found = logProbs?.get(index)
  if (!found) return generated
  const [logProb, ...top] = found
  generated.logProb = logProb!
  generated.top = Array.from({ length: top.length / 2 }, (_, i) => ({ token: top[2 * i]!, logProb: top[2 * i + 1]! }))
  return generated
}
