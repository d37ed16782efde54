import { ChannelSet } from '@troupe/native'
import type { Inlet } from '../channel/inlet.js'
import { NOTHING } from '../channel/message.js'

/** Microseconds that awaiting a ref waits for the result with this thread, before the event loop does. */
const WAIT = 100
/** Milliseconds after which the event loop gets a turn although results come at once. */
const TURN = 1

/** The channel that the values of one output come from. */
export interface Source {
  readonly inlet: Inlet
  readonly output: number
  /** The number of executions that it has given its value to. */
  arrived: number
}

/** The recipient of the results. */
export interface ResultTaker {
  /** Takes the next value of an output. */
  take(source: Source, value: unknown): void
  /** Called when all that has come was taken. */
  taken(): void
  /** Whether results are to come. */
  readonly isWaiting: boolean
  /** Keeps the process alive until what is returned is called. */
  hold(): () => void
}

/**
 * Takes the results of a graph as they come: with this thread for a moment while one is awaited, else in turns of the event
 * loop, which is woken where none comes soon.
 */
export class ResultPump {
  /** `turning`: the event loop looks in its next turn; `armed`: the next value wakes it. */
  #state: 'idle' | 'turning' | 'armed' | 'ended' = 'idle'
  /** Whether something has come just now, so that more may come soon. */
  #isBusy = true
  #lastTurn = performance.now()
  #letGo: (() => void) | undefined
  readonly #set: ChannelSet | undefined
  readonly #wake = () => {
    if (this.#state === 'ended') return
    this.#state = 'idle'
    this.#isBusy = true
    this.takeAll()
    this.watch()
  }

  constructor(
    private readonly sources: readonly Source[],
    private readonly taker: ResultTaker,
  ) {
    const natives = sources.flatMap(({ inlet }) => (inlet.native ? [inlet.native] : []))
    if (natives.length > 1) this.#set = new ChannelSet(natives)
  }

  /**
   * Looks for results until one is there that is awaited. The event loop gets its turn now and then, however fast they come.
   */
  poll(awaited: { readonly isSettled: boolean }): void {
    if (performance.now() - this.#lastTurn > TURN) return
    this.#disarm()
    if (this.sources.length > 1) {
      do {
        this.takeAll()
      } while (!awaited.isSettled && this.#isBusy && this.#wait())
    } else {
      const [only] = this.sources
      while (!awaited.isSettled) {
        const value = only!.inlet.next(this.#isBusy ? WAIT : 0)
        if (value === NOTHING) {
          this.#isBusy = false
          break
        }
        this.#isBusy = true
        this.taker.take(only!, value)
      }
    }
    this.watch()
  }

  /** Takes what has come. */
  takeAll(): void {
    for (const source of this.sources) {
      for (let value = source.inlet.next(0); value !== NOTHING; value = source.inlet.next(0)) {
        this.#isBusy = true
        this.taker.take(source, value)
      }
    }
    this.taker.taken()
  }

  /** Has the event loop look for results while some are to come. */
  watch(): void {
    if (this.#state !== 'idle') return
    if (!this.taker.isWaiting && performance.now() - this.#lastTurn <= TURN) return
    this.#state = 'turning'
    setImmediate(() => {
      if (this.#state === 'ended') return
      this.#state = 'idle'
      this.#lastTurn = performance.now()
      this.takeAll()
      if (this.taker.isWaiting) this.#arm()
    })
  }

  /** Takes no more, and closes where results come from. */
  end(): void {
    this.#disarm()
    this.#state = 'ended'
    this.#letGo?.()
    for (const { inlet } of this.sources) inlet.close()
  }

  #wait(): boolean {
    this.#isBusy = this.#set?.wait(WAIT) ?? false
    return this.#isBusy
  }

  #arm(): void {
    if (this.#state !== 'idle') return
    this.#letGo ??= this.taker.hold()
    this.#state = 'armed'
    for (const { inlet } of this.sources) {
      if (inlet.arm(this.#wake)) continue
      this.#disarm()
      this.watch()
      return
    }
  }

  #disarm(): void {
    if (this.#state !== 'armed') return
    this.#state = 'idle'
    for (const { inlet } of this.sources) inlet.disarm()
  }
}
