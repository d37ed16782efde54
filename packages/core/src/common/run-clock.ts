import { readdirSync } from 'node:fs'
import { statusOf } from './process-status.js'
import { LATE } from './timer.js'

/** Milliseconds between two looks at how long a process has had to run: few, as it counts as what each look finds. */
const LOOK_INTERVAL = 500
/** The most that counts between two looks: a process that looks late may have been short of CPU itself, or stopped. */
const MOST_BETWEEN = 2 * LOOK_INTERVAL
/** Milliseconds of the kernel's unit of processor time. */
const TICK = 10
/** States of a thread that would go on if it could: it waits for CPU or for a disk, or was stopped. */
const HELD_UP = 'RDTt'

const SETTLED = Symbol('settled')

/**
 * Measures how long a process has had to run. Time in which it waits by itself counts, as an endless loop does; the time in
 * which it waits for CPU, for a disk or to be continued does not. So a limit that is counted by this grows with the load of
 * the machine.
 */
export class RunClock {
  readonly #pid: number
  #looked = performance.now()
  #used: number
  #had = 0

  constructor(pid: number) {
    this.#pid = pid
    this.#used = usageOf(pid).used
  }

  /** Milliseconds so far. It is looked often: between two looks a process counts as what it is found to be. */
  look(): number {
    const now = performance.now()
    const { used, isHeldUp } = usageOf(this.#pid)
    const elapsed = Math.min(now - this.#looked, MOST_BETWEEN)
    this.#had += isHeldUp ? Math.min(elapsed, used - this.#used) : elapsed
    this.#looked = now
    this.#used = used
    return this.#had
  }
}

/**
 * Resolves as a promise does, or with LATE once a process has had so many milliseconds to run.
 *
 * @param look gives the milliseconds that the process has had so far; if they are not known, those that pass here count
 * @param most milliseconds after which it is late in any case
 */
export async function whileRunning<T>(
  promise: Promise<T>,
  milliseconds: number,
  look: () => number | undefined | Promise<number | undefined>,
  most = Number.POSITIVE_INFINITY,
): Promise<T | typeof LATE> {
  const interval = Math.min(milliseconds, LOOK_INTERVAL)
  const begun = performance.now()
  let first: number | undefined
  let had = 0
  for (;;) {
    let timer: NodeJS.Timeout | undefined
    const pause = new Promise<typeof LATE>((resolve) => {
      // Messages that have come in meanwhile go first.
      timer = setTimeout(() => setImmediate(resolve, LATE), interval)
    })
    const outcome = await Promise.race([promise, pause]).finally(() => clearTimeout(timer))
    if (outcome !== LATE) return outcome
    if (performance.now() - begun > most) return LATE
    const looked = Promise.resolve(look()).catch(() => undefined)
    const found = await Promise.race([looked, promise.then((): typeof SETTLED => SETTLED)])
    if (found === SETTLED) return promise
    if (found === undefined) had += interval
    else {
      first ??= found - interval
      had = Math.max(had, found - first)
    }
    if (had >= milliseconds) return LATE
  }
}

/** The processor time that a process has used, and whether one of its threads would go on if it could. */
function usageOf(pid: number): { used: number; isHeldUp: boolean } {
  try {
    const [user, system] = statusOf(`/proc/${pid}/stat`).slice(11, 13).map(Number)
    const threads = readdirSync(`/proc/${pid}/task`)
    const isHeldUp = threads.some((thread) => HELD_UP.includes(stateOf(`/proc/${pid}/task/${thread}/stat`)))
    return { used: (user! + system!) * TICK, isHeldUp }
  } catch {
    // It has ended, which is not for a clock to tell.
    return { used: 0, isHeldUp: false }
  }
}

/** The state of a thread: dead, if it has ended meanwhile. */
function stateOf(file: string): string {
  try {
    return statusOf(file)[0]!
  } catch {
    return 'X'
  }
}
