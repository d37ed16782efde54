import { Worker } from 'node:worker_threads'
import { InvalidInputError } from '@troupe/core'
import { asciiOfBytes } from './byte-symbols.js'
import { HEADER, type MaskReply, type MaskRequest, type MaskThreadData, STATE } from './mask-protocol.js'
import type { MaskVocabulary } from './mask-vocabulary.js'

/** Milliseconds that a grammar may take to be compiled, and a mask to be computed. */
const LONGEST_COMPILATION = 10_000
const LONGEST_STEP = 2_000
/** Milliseconds that a text may wait for its masks in all: so many, and so many for each of its tokens. */
const LONGEST_WAIT = 10_000
const LONGEST_WAIT_STEP = 50
const MOST_MEMORY = 512 * 2 ** 20

/**
 * A thread that has one grammar: the library that matches it cannot be stopped in the middle, and cannot be used again once
 * something was wrong, so that nothing but its own texts may depend on it.
 */
export class GrammarThread {
  hasFailed = false
  #problem = ''
  #texts = 0
  readonly #worker: Worker

  private constructor(worker: Worker) {
    this.#worker = worker
    worker.unref()
    worker.on('message', (reply: MaskReply) => {
      if (reply.kind === 'failed') this.#fail(reply.problem)
    })
    worker.on('error', (error) => this.#fail(error.message))
  }

  /** @throws InvalidInputError if the grammar is none, or takes too long or too much memory. */
  static async start(ebnf: string, vocabulary: MaskVocabulary): Promise<GrammarThread> {
    const tokens = Array.from(
      { length: vocabulary.size },
      (_, token) => asciiOfBytes(vocabulary.tokenBytes(token) ?? new Uint8Array()) ?? '',
    )
    const workerData: MaskThreadData = { ebnf, tokens, endTokens: vocabulary.endTokens, memory: MOST_MEMORY }
    const worker = new Worker(new URL('./mask-thread.js', import.meta.url), {
      workerData,
      execArgv: [],
      stderr: true,
      stdout: true,
    })
    try {
      await ready(worker)
    } catch (error) {
      await worker.terminate()
      throw error
    }
    return new GrammarThread(worker)
  }

  /** A new text, whose masks are for `size` tokens. */
  open(size: number): MaskedText {
    return new MaskedText(this, this.#texts++, Math.ceil(size / 32))
  }

  send(request: MaskRequest): void {
    this.#worker.postMessage(request)
  }

  /** Ends a thread that does not answer. */
  giveUp(): InvalidInputError {
    this.#fail('')
    return this.error()
  }

  error(): InvalidInputError {
    return new InvalidInputError(
      `what may come next takes too long or too much memory${this.#problem && ` (${this.#problem})`}; ask for a simpler structure`,
    )
  }

  stop(): void {
    void this.#worker.terminate()
  }

  #fail(problem: string): void {
    this.hasFailed = true
    this.#problem ||= problem
    this.stop()
  }
}

/** One text of a grammar, whose mask the thread computes when a token is accepted, not when it is asked for. */
export class MaskedText {
  readonly #header: Int32Array
  readonly #mask: Int32Array
  #steps = 1
  #waited = 0

  constructor(
    private readonly thread: GrammarThread,
    private readonly number: number,
    words: number,
  ) {
    const shared = new SharedArrayBuffer((HEADER.length + words) * 4)
    this.#header = new Int32Array(shared, 0, HEADER.length)
    this.#mask = new Int32Array(shared, this.#header.byteLength)
    thread.send({ kind: 'open', text: number, shared })
  }

  next(): Int32Array | undefined {
    const state = this.#settle()
    if (state === STATE.refused) {
      throw new InvalidInputError(
        'a token was accepted that the structure does not allow; accept only tokens of the mask',
      )
    }
    return this.#mask.every((word) => word === -1) ? undefined : this.#mask.slice()
  }

  accept(token: number): void {
    this.#steps++
    this.thread.send({ kind: 'accept', text: this.number, token })
  }

  get isEnded(): boolean {
    return this.#settle() === STATE.ended
  }

  close(): void {
    this.thread.send({ kind: 'close', text: this.number })
  }

  /** Waits for the thread, which is at work meanwhile as a rule. */
  #settle(): number {
    const start = performance.now()
    const end = start + Math.min(LONGEST_STEP, LONGEST_WAIT + this.#steps * LONGEST_WAIT_STEP - this.#waited)
    for (;;) {
      const steps = Atomics.load(this.#header, HEADER.steps)
      if (steps >= this.#steps) break
      if (this.thread.hasFailed) throw this.thread.error()
      const left = end - performance.now()
      if (left <= 0) throw this.thread.giveUp()
      Atomics.wait(this.#header, HEADER.steps, steps, left)
    }
    this.#waited += performance.now() - start
    const state = Atomics.load(this.#header, HEADER.state)
    if (state === STATE.failed) throw this.thread.giveUp()
    return state
  }
}

function ready(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    const tooMuch = () =>
      new InvalidInputError('the structure takes too long or too much memory to be held to; make it smaller')
    const timer = setTimeout(() => settle(() => reject(tooMuch())), LONGEST_COMPILATION)
    const settle = (outcome: () => void) => {
      clearTimeout(timer)
      worker.removeAllListeners()
      outcome()
    }
    worker.once('message', (reply: MaskReply) =>
      settle(() => (reply.kind === 'ready' ? resolve() : reject(refusal(reply.problem)))),
    )
    worker.once('error', () => settle(() => reject(tooMuch())))
    worker.once('exit', () => settle(() => reject(tooMuch())))
  })
}

function refusal(problem: string): InvalidInputError {
  const isLimit = /memory|stack|alloc/i.test(problem)
  return new InvalidInputError(
    isLimit
      ? 'the structure takes too much memory to be held to; make it smaller'
      : `the structure is no grammar: ${problem
          .replace(/^EBNF parser error /, '')
          .replaceAll(/\s+/g, ' ')
          .slice(0, 300)}`,
  )
}
